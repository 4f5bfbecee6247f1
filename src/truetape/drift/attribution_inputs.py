"""The two sides of a bar: the prints that the serving layer counted, and those that count now.

Pure; does no I/O. Does not compare the sides: that is `drift`.
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
"""What a bar tells, in the order of `FIELDS`; zeros where there is none, as a void row has them."""
NO_VALUES: BarValues = (Decimal(0),) * len(FIELDS)

Judge = Callable[[tuple[str, ...], str | None], Eligibility]
"""`Profile.judge`: conditions and tape to what a print may set."""
Knows = Callable[[Event], bool]
"""Whether a layer had taken an event when it served a bar."""


@dataclass(frozen=True, slots=True)
class TradeDelivery:
    """A trade as it was received, and what the batch layer knows about it."""

    trade: Trade
    duplicate: bool = False
    amendments: tuple[Amendment, ...] = ()
    """Those that mean this trade, in order of arrival."""
    eligibility: Eligibility | None = None
    """What the recompute let its values in force set, where that is written down."""


@dataclass(frozen=True, slots=True)
class ServingRules:
    """How the layer that served a bar makes one.

    `drops_repeats` are the feeds whose repeat deliveries it drops, None for every feed. With
    `as_of_ns` it is a publication, which knew what was received by then; without, the speed layer,
    which takes no trade for a minute that the watermark, `lateness_ns` behind, has passed.
    """

    judge: Judge
    lateness_ns: int
    drops_repeats: frozenset[str] | None
    as_of_ns: int | None = None

    @property
    def amends(self) -> bool:
        """Say whether the layer applies cancels and corrections."""
        return self.as_of_ns is not None

    def knows(self, event: Event) -> bool:
        """Say whether the layer has taken an event, all being well."""
        if self.as_of_ns is not None:
            return event.received_ns <= self.as_of_ns
        if not isinstance(event, Trade):
            return False
        minute = Resolution.MINUTE
        closes = minute.start_of(event.event_ns) + minute.width_ns + self.lateness_ns
        return event.received_ns < closes

    def is_late(self, trade: Trade) -> bool:
        """Say whether a trade came later than the speed layer waits."""
        return trade.received_ns - trade.event_ns > self.lateness_ns

    def drops(self, feed: str) -> bool:
        """Say whether repeat deliveries of a feed are dropped."""
        return self.drops_repeats is None or feed in self.drops_repeats


@dataclass(frozen=True, slots=True)
class BarInputs:
    """One bar on both sides, and each delivery of a trade that falls into it, in stream order.

    `base` adds up prints that both sides count alike and that are not in `deliveries`. `daily` is
    the session of a 1d bar, which takes only its regular hours and its auction prints.
    """

    served: BarValues
    recomputed: BarValues
    deliveries: Sequence[TradeDelivery]
    base: Tally = field(default_factory=Tally)
    daily: Session | None = None


@dataclass(frozen=True, slots=True)
class CountedPrint:
    """A print as one side counts it; `key` tells which print is first and which last."""

    trade: Trade
    eligibility: Eligibility
    key: OrderKey

    @property
    def size(self) -> Decimal:
        """Return what it adds to the volume."""
        return self.trade.size if self.eligibility.volume else Decimal(0)

    def tally(self) -> Tally:
        """Return what it adds to the bar."""
        found = tally(self.trade, self.eligibility)
        if found.first is None or self.key == self.trade.order:
            return found
        end = (self.key, self.trade.price)
        return replace(found, first=end, last=end)

    def in_order(self) -> "CountedPrint":
        """Return the same print, told first and last by the total order."""
        return replace(self, key=self.trade.order)

    def by_arrival(self) -> "CountedPrint":
        """Return the same print, told first and last by its place in the stream."""
        place = self.trade.position
        where = (place.topic, place.partition, place.offset, place.index)
        return replace(self, key=(0, 0, 0, "", *where))


def served_prints(
    window: BarInputs, rules: ServingRules, known: Knows
) -> list[CountedPrint | None]:
    """Return for each delivery the print that the layer counted, knowing what it knew."""
    seen: set[tuple[str, str]] = set()
    return [_served(window, rules, known, delivery, seen) for delivery in window.deliveries]


def recomputed_prints(window: BarInputs, judge: Judge) -> list[CountedPrint | None]:
    """Return for each delivery the print that counts now."""
    found: list[CountedPrint | None] = []
    for delivery in window.deliveries:
        item = amended(delivery.trade, delivery.amendments)
        counts = not (delivery.duplicate or item.cancelled)
        judged = delivery.eligibility or judge(item.trade.conditions, item.trade.tape)
        found.append(_print(window, item.trade, judged) if counts else None)
    return found


def counted_print(window: BarInputs, trade: Trade, judge: Judge) -> CountedPrint | None:
    """Return the print that a trade in force is, None where this bar does not take it."""
    return _print(window, trade, judge(trade.conditions, trade.tape))


def sum_prints(prints: Iterable[CountedPrint | None], base: Tally) -> Tally:
    """Add prints to a tally; None counts for nothing."""
    return reduce(merge, (one.tally() for one in prints if one is not None), base)


def values_of_tally(total: Tally) -> BarValues:
    """Return what a tally is served as; nothing without an eligible price."""
    if total.first is None or total.last is None or total.high is None or total.low is None:
        return NO_VALUES
    average = vwap(total.notional, total.priced_volume) or Decimal(0)
    prices = (total.first[1], total.high, total.low, total.last[1])
    return *prices, total.volume, average, Decimal(total.trades)


def _print(window: BarInputs, trade: Trade, eligibility: Eligibility) -> CountedPrint | None:
    daily = window.daily
    if daily is not None and not (daily.is_regular(trade.event_ns) or eligibility.auction):
        return None
    return CountedPrint(trade, eligibility, trade.order)


def _served(
    window: BarInputs,
    rules: ServingRules,
    known: Knows,
    delivery: TradeDelivery,
    seen: set[tuple[str, str]],
) -> CountedPrint | None:
    trade = delivery.trade
    if not known(trade):
        return None
    if trade.id is not None and rules.drops(trade.feed):
        if (trade.feed, trade.id) in seen:
            return None
        seen.add((trade.feed, trade.id))
    if rules.amends:
        item = amended(trade, [one for one in delivery.amendments if known(one)])
        return None if item.cancelled else counted_print(window, item.trade, rules.judge)
    return counted_print(window, trade, rules.judge)
