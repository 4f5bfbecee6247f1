"""Trades, cancels and corrections, each with its source position.

Does not decode payloads (`feeds`) and does not decide what counts (`eligibility`, `canonical`).
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

WHOLE_DIGITS, DECIMALS = 20, 18
"""Most digits before and after the point of a price, a size, a notional, and their sums."""
LIMIT = Decimal(10) ** WHOLE_DIGITS
"""Above every number that fits."""
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UNIT = Decimal(1).scaleb(-DECIMALS)

OrderKey = tuple[int, int, int, str, int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an event was read: topic, partition and offset, or file, 0 and line.

    `index` is the place of the record in its payload.
    """

    topic: str
    partition: int
    offset: int
    index: int = 0

    def __str__(self) -> str:
        """Return topic/partition@offset.index."""
        return f"{self.topic}/{self.partition}@{self.offset}.{self.index}"


@dataclass(frozen=True, slots=True)
class Trade:
    """One print. `venue` is the bar's market; `exchange` reported the print and is never a key.

    `sequence` orders the trades of an instant: the feed's sequence number, or the id where the
    contract says that ids are numbers that grow. A trade without `conditions` is a regular trade.
    `tape` selects the condition table of a profile with several tables.
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
        """Return the sort key inside a bar: event time, sequence, source position.

        Ids never order: a contract whose ids are numbers that grow gives them as the sequence.
        Trades with a sequence come before those without.
        """
        return order_key(self.event_ns, self.sequence, self.position)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Makes a trade void from its beginning.

    The trade is the latest one with this id received before the cancel, or the one of the day of
    `event_ns` if the cancel has a time. The cancel waits for a trade that arrives later.
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
    """Gives a trade new values at its own event time. `conditions` None keeps the old ones.

    `new_id` is one more id that the trade has from then on; its own `id` stays.
    """

    feed: str
    venue: str
    symbol: str
    id: str
    event_ns: int | None
    received_ns: int
    price: Decimal
    size: Decimal
    conditions: tuple[str, ...] | None
    new_id: str | None
    position: Position


Amendment = Cancel | Correction
Event = Trade | Cancel | Correction


def order_key(event_ns: int, sequence: int | None, place: Position) -> OrderKey:
    """Return `Trade.order` of a trade with these values."""
    rank = 0 if sequence is not None else 1
    source = place.topic, place.partition, place.offset, place.index
    return event_ns, rank, sequence or 0, *source


def notional(price: Decimal, size: Decimal) -> Decimal:
    """Return price x size, rounded half-even to 18 decimals: once a trade, so that sums are exact
    in every order.
    """
    product = _EXACT.multiply(price, size)
    return _EXACT.quantize(product, _UNIT)


def notional_fits(price: Decimal, size: Decimal) -> bool:
    """True if the notional of a trade fits, and notional / size too: a VWAP is never larger."""
    amount = notional(price, size).copy_abs()
    return amount < LIMIT and (not amount or amount < _EXACT.multiply(LIMIT, size.copy_abs()))
