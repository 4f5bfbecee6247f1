"""The two versions of a bar as prints: those that the serving layer counted, those that count now.

Pure; does no I/O. Does not compare the two: `drift.attribution` does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce

from truetape.market.bars import Tally, merge, tally, vwap
from truetape.market.canonical import amended
from truetape.market.eligibility import Eligibility
from truetape.market.resends import Resend
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Event, Position, Trade

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "trades")
BarValues = tuple[Decimal, ...]
"""The values of a bar in the order of `FIELDS`; all zero without a bar, as in a void row."""
NO_VALUES: BarValues = (Decimal(0),) * len(FIELDS)

Judge = Callable[[tuple[str, ...], str | None], Eligibility]
"""`Profile.judge`: from conditions and tape to the fields that a print may set."""
Knows = Callable[[Event], bool]
"""True if a layer counted with an event when it served a bar."""
DeliveryKey = tuple[str | int, ...] | Position


@dataclass(frozen=True, slots=True)
class TradeDelivery:
    """A trade as it was received, and what the batch layer knows about it."""

    trade: Trade
    duplicate: bool = False
    amendments: tuple[Amendment, ...] = ()
    """The amendments of this trade, in order of arrival."""
    eligibility: Eligibility | None = None
    """The recompute's judgement of the amended trade, if the lake has it."""
    resend: Resend | None = None
    """Set if it is another trade, sent again under an id that a correction gave."""


@dataclass(frozen=True, slots=True)
class ServingRules:
    """How the layer that served a bar makes bars.

    The layer drops repeat deliveries of `deduplicated_feeds`; None means of every feed. With
    `as_of_ns` the layer is a publication, which knows all that was received by then. Without, it is
    the speed layer, which counts no trade received more than `lateness_ns` after its event.
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
        """True if the layer counts with an event, provided that it ran without trouble."""
        if self.as_of_ns is not None:
            return event.received_ns <= self.as_of_ns
        return isinstance(event, Trade) and not self.is_late(event)

    def is_late(self, trade: Trade) -> bool:
        """True if a trade arrived later than the speed layer waits."""
        return trade.received_ns - trade.event_ns > self.lateness_ns

    def key_of(self, trade: Trade) -> DeliveryKey:
        """Return the key that the deliveries of a trade share within a bar.

        A publication looks for repeats in a whole session, the speed layer in a second of one
        partition.
        """
        drops = self.deduplicated_feeds is None or trade.feed in self.deduplicated_feeds
        if trade.id is None or not drops:
            return trade.position
        if self.as_of_ns is not None:
            return trade.feed, trade.id
        second, place = Resolution.SECOND.start_of(trade.event_ns), trade.position
        return trade.feed, trade.id, second, place.topic, place.partition

    def first_of(self, deliveries: Iterable[Trade]) -> Trade:
        """Return the delivery that the layer counts: a publication the one received first, the
        speed layer the one with the lowest position.
        """
        if self.as_of_ns is None:
            return min(deliveries, key=lambda trade: trade.position)
        return min(deliveries, key=lambda trade: (trade.received_ns, trade.position))


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
    """A print as one version counts it."""

    trade: Trade
    eligibility: Eligibility

    @property
    def size(self) -> Decimal:
        """Return what the print adds to the volume."""
        return self.trade.size if self.eligibility.volume else Decimal(0)

    def tally(self) -> Tally:
        """Return what the print adds to the bar."""
        return tally(self.trade, self.eligibility)


def served_prints(bar: BarInputs, rules: ServingRules, knows: Knows) -> list[CountedPrint | None]:
    """Return for each delivery the print that the layer counted, given what it knew."""
    counted = {rules.first_of(same).position for same in known_trades(bar, rules, knows)}
    return [
        _served_print(bar, rules, knows, delivery) if delivery.trade.position in counted else None
        for delivery in bar.deliveries
    ]


def known_trades(bar: BarInputs, rules: ServingRules, knows: Knows) -> list[list[Trade]]:
    """Return the known deliveries of each trade, of which the layer counted one."""
    same: dict[DeliveryKey, list[Trade]] = {}
    for delivery in bar.deliveries:
        if knows(delivery.trade) and not _is_known_resend(delivery.resend, rules, knows):
            same.setdefault(rules.key_of(delivery.trade), []).append(delivery.trade)
    return list(same.values())


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


def _is_known_resend(resend: Resend | None, rules: ServingRules, knows: Knows) -> bool:
    """True if the layer knew that a delivery is another trade, which it counted, sent again."""
    if resend is None or not rules.applies_amendments:
        return False
    return knows(resend.of) and knows(resend.correction)


def _print(bar: BarInputs, trade: Trade, eligibility: Eligibility) -> CountedPrint | None:
    daily = bar.daily
    if daily and not daily.is_in_day(trade.event_ns, auction=eligibility.auction):
        return None
    return CountedPrint(trade, eligibility)


def _served_print(
    bar: BarInputs, rules: ServingRules, knows: Knows, delivery: TradeDelivery
) -> CountedPrint | None:
    if not rules.applies_amendments:
        return counted_print(bar, delivery.trade, rules.judge)
    item = amended(delivery.trade, [each for each in delivery.amendments if knows(each)])
    return None if item.cancelled else counted_print(bar, item.trade, rules.judge)
