"""Rejections: why a value or a record was not accepted. Dead letters are made of them.

They are outcomes, not exceptions: bad records are expected, and the records beside them go on.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """All reasons; decoders, dead letters and reports have no other."""

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
    FUTURE_RECEIPT_TIME = "future-receipt-time"


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that was not accepted: the reason, and what is wrong with it."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that does not fit its contract; `payload` is byte for byte what arrived.

    `index` is the place of the record in its payload, 0 if the whole payload is rejected.
    """

    reason: Reason
    detail: str
    payload: bytes
    index: int = 0
