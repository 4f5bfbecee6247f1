"""The two versions of a bar as prints: those that the serving layer counted, those that count now.

Pure; does no I/O. Does not compare the two: `drift.attribution` does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce

from truetape.market.bars import Tally, merge, tally, vwap
from truetape.market.canonical import amended
from truetape.market.eligibility import Eligibility
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Event, OrderKey, Trade

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "trades")
BarValues = tuple[Decimal, ...]
"""The values of a bar in the order of `FIELDS`; all zero without a bar, as in a void row."""
NO_VALUES: BarValues = (Decimal(0),) * len(FIELDS)

Judge = Callable[[tuple[str, ...], str | None], Eligibility]
"""`Profile.judge`: from conditions and tape to the fields that a print may set."""
Knows = Callable[[Event], bool]
"""True if a layer had processed an event when it served a bar."""


@dataclass(frozen=True, slots=True)
class TradeDelivery:
    """A trade as it was received, and what the batch layer knows about it."""

    trade: Trade
    duplicate: bool = False
    amendments: tuple[Amendment, ...] = ()
    """The amendments of this trade, in order of arrival."""
    eligibility: Eligibility | None = None
    """The recompute's judgement of the amended trade, if the lake has it."""


@dataclass(frozen=True, slots=True)
class ServingRules:
    """How the layer that served a bar makes bars.

    The layer drops repeat deliveries of `deduplicated_feeds`; None means of every feed. With
    `as_of_ns` the layer is a publication, which knows all that was received by then. Without, it is
    the speed layer, which takes no trade for a minute that its watermark, `lateness_ns` behind, has
    passed.
    """

    judge: Judge
    lateness_ns: int
    deduplicated_feeds: frozenset[str] | None
    as_of_ns: int | None = None

    @property
    def applies_amendments(self) -> bool:
        """True if the layer applies cancels and corrections."""
        return self.as_of_ns is not None

    def knows(self, event: Event) -> bool:
        """True if the layer has processed an event, provided that it ran without trouble."""
        if self.as_of_ns is not None:
            return event.received_ns <= self.as_of_ns
        if not isinstance(event, Trade):
            return False
        minute = Resolution.MINUTE
        closes = minute.start_of(event.event_ns) + minute.width_ns + self.lateness_ns
        return event.received_ns < closes

    def is_late(self, trade: Trade) -> bool:
        """True if a trade arrived later than the speed layer waits."""
        return trade.received_ns - trade.event_ns > self.lateness_ns

    def deduplicates(self, feed: str) -> bool:
        """True if the layer drops repeat deliveries of a feed."""
        return self.deduplicated_feeds is None or feed in self.deduplicated_feeds


@dataclass(frozen=True, slots=True)
class BarInputs:
    """One bar as served and as recomputed, and each delivery of its trades, in stream order.

    `base` is the tally of prints that both versions count alike and that are not in `deliveries`.
    `daily` is the session of a 1d bar, which takes only prints of its regular hours and its
    auction prints.
    """

    served: BarValues
    recomputed: BarValues
    deliveries: Sequence[TradeDelivery]
    base: Tally = field(default_factory=Tally)
    daily: Session | None = None


@dataclass(frozen=True, slots=True)
class CountedPrint:
    """A print as one version counts it; `key` decides which print is first and which last."""

    trade: Trade
    eligibility: Eligibility
    key: OrderKey

    @property
    def size(self) -> Decimal:
        """Return what the print adds to the volume."""
        return self.trade.size if self.eligibility.volume else Decimal(0)

    def tally(self) -> Tally:
        """Return what the print adds to the bar."""
        own = tally(self.trade, self.eligibility)
        if own.first is None or self.key == self.trade.order:
            return own
        end = (self.key, self.trade.price)
        return replace(own, first=end, last=end)

    def in_order(self) -> "CountedPrint":
        """Return the same print, ordered by the total order."""
        return replace(self, key=self.trade.order)

    def by_arrival(self) -> "CountedPrint":
        """Return the same print, ordered by its position in the stream."""
        position = self.trade.position
        place = (position.topic, position.partition, position.offset, position.index)
        return replace(self, key=(0, 0, 0, *place))


def served_prints(bar: BarInputs, rules: ServingRules, knows: Knows) -> list[CountedPrint | None]:
    """Return for each delivery the print that the layer counted, given what it knew."""
    seen: set[tuple[str, str]] = set()
    return [_served_print(bar, rules, knows, delivery, seen) for delivery in bar.deliveries]


def recomputed_prints(bar: BarInputs, judge: Judge) -> list[CountedPrint | None]:
    """Return for each delivery the print that counts now."""
    prints: list[CountedPrint | None] = []
    for delivery in bar.deliveries:
        item = amended(delivery.trade, delivery.amendments)
        counts = not (delivery.duplicate or item.cancelled)
        eligibility = delivery.eligibility or judge(item.trade.conditions, item.trade.tape)
        prints.append(_print(bar, item.trade, eligibility) if counts else None)
    return prints


def counted_print(bar: BarInputs, trade: Trade, judge: Judge) -> CountedPrint | None:
    """Return the print of a trade in force; None if this bar does not take it."""
    return _print(bar, trade, judge(trade.conditions, trade.tape))


def sum_prints(prints: Iterable[CountedPrint | None], base: Tally) -> Tally:
    """Add prints to a tally; None adds nothing."""
    return reduce(merge, (item.tally() for item in prints if item is not None), base)


def values_of_tally(total: Tally) -> BarValues:
    """Return the values that a tally is served with; `NO_VALUES` without an eligible price."""
    if total.first is None or total.last is None or total.high is None or total.low is None:
        return NO_VALUES
    average = vwap(total.notional, total.priced_volume) or Decimal(0)
    prices = (total.first[1], total.high, total.low, total.last[1])
    return *prices, total.volume, average, Decimal(total.trades)


def _print(bar: BarInputs, trade: Trade, eligibility: Eligibility) -> CountedPrint | None:
    daily = bar.daily
    if daily is not None and not (daily.is_regular(trade.event_ns) or eligibility.auction):
        return None
    return CountedPrint(trade, eligibility, trade.order)


def _served_print(
    bar: BarInputs,
    rules: ServingRules,
    knows: Knows,
    delivery: TradeDelivery,
    seen: set[tuple[str, str]],
) -> CountedPrint | None:
    trade = delivery.trade
    if not knows(trade):
        return None
    if trade.id is not None and rules.deduplicates(trade.feed):
        if (trade.feed, trade.id) in seen:
            return None
        seen.add((trade.feed, trade.id))
    if rules.applies_amendments:
        item = amended(trade, [each for each in delivery.amendments if knows(each)])
        return None if item.cancelled else counted_print(bar, item.trade, rules.judge)
    return counted_print(bar, trade, rules.judge)
