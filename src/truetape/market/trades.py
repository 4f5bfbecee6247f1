"""Trades and what amends them: cancels and corrections, each with the place it came from.

Does not decode payloads (`feeds`) and does not decide what counts (`eligibility`, `canonical`).
"""

from dataclasses import dataclass
from decimal import Decimal

PRICE_DIGITS, PRICE_SCALE = 18, 9
"""Most digits of a price, and how many of them are decimals: nine whole digits, nine decimals."""
SIZE_DIGITS, SIZE_SCALE = 18, 8
"""The same for sizes. Both fit a 64-bit integer, and price x size still fits 38 digits exactly."""

OrderKey = tuple[int, int, int, str, str, int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an event was read: Kafka coordinates, or file, 0, line; `index` counts in a payload."""

    topic: str
    partition: int
    offset: int
    index: int = 0

    def __str__(self) -> str:
        """Return it as people write it: topic/partition@offset.index."""
        return f"{self.topic}/{self.partition}@{self.offset}.{self.index}"


@dataclass(frozen=True, slots=True)
class Trade:
    """One print. `venue` is the bar's market; the reporting exchange is `exchange` and never a key.

    `conditions` empty means a regular trade. `tape` picks the condition table where a profile has
    several.
    """

    feed: str
    venue: str
    symbol: str
    id: str | None
    sequence: int | None
    event_ns: int
    received_ns: int
    price: Decimal
    size: Decimal
    conditions: tuple[str, ...]
    tape: str | None
    exchange: str | None
    position: Position

    @property
    def order(self) -> OrderKey:
        """Return the total order inside a bar: event time, sequence or trade id, source position.

        Numeric ids of up to 18 digits compare as numbers and come before ids with letters.
        """
        place = self.position
        rank, number, text = _tie(self.sequence, self.id)
        return (
            self.event_ns,
            rank,
            number,
            text,
            place.topic,
            place.partition,
            place.offset,
            place.index,
        )


@dataclass(frozen=True, slots=True)
class Cancel:
    """A trade that is void from its beginning.

    Means the latest trade with this id received before it, or the trade of the day of `event_ns`
    where the cancel carries one; it waits for a trade that comes later.
    """

    feed: str
    venue: str
    symbol: str
    id: str
    event_ns: int | None
    received_ns: int
    position: Position


@dataclass(frozen=True, slots=True)
class Correction:
    """New values for a trade, at the trade's own event time; None keeps the old conditions."""

    feed: str
    venue: str
    symbol: str
    id: str
    event_ns: int | None
    received_ns: int
    price: Decimal
    size: Decimal
    conditions: tuple[str, ...] | None
    position: Position


Amendment = Cancel | Correction
Event = Trade | Cancel | Correction


def _tie(sequence: int | None, trade_id: str | None) -> tuple[int, int, str]:
    if sequence is not None:
        return 0, sequence, ""
    if trade_id is None:
        return 2, 0, ""
    if len(trade_id) <= 18 and trade_id.isascii() and trade_id.isdigit():
        return 0, int(trade_id), ""
    return 1, 0, trade_id
