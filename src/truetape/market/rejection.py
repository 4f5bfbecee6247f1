"""Why an input was not taken: the outcome type that a dead letter is made of.

Not an exception: a bad record is expected, and its neighbours go on.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The closed list of reasons, for both decoders, the dead letters and the reports."""

    EMPTY = "empty"
    NOT_TEXT = "not-utf8"
    NOT_JSON = "not-json"
    NOT_CSV = "not-csv"
    TOO_LARGE = "too-large"
    UNKNOWN_FEED = "unknown-feed"
    UNKNOWN_VENUE = "unknown-venue"
    NOT_A_TRADE = "not-a-trade"
    MISSING_FIELD = "missing-field"
    BAD_SYMBOL = "bad-symbol"
    BAD_ID = "bad-id"
    BAD_TEXT = "bad-text"
    BAD_NUMBER = "bad-number"
    OUT_OF_RANGE = "out-of-range"
    BAD_EVENT_TIME = "bad-event-time"
    IMPLAUSIBLE_EVENT_TIME = "implausible-event-time"
    AMBIGUOUS_LOCAL_TIME = "ambiguous-local-time"
    NONEXISTENT_LOCAL_TIME = "nonexistent-local-time"
    FUTURE_EVENT_TIME = "future-event-time"


@dataclass(frozen=True, slots=True)
class Refused:
    """A single value that cannot be taken: the reason, and what was wrong with it."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that does not fit its contract; `payload` is byte for byte what arrived.

    `index` is the place of the record inside its payload, 0 where the payload as a whole is
    refused.
    """

    reason: Reason
    detail: str
    payload: bytes
    index: int = 0
