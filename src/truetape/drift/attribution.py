"""Drift of one bar by cause: the events that explain the change from served to recomputed.

Pure; does no I/O. It starts from the prints that the serving layer counted and applies one class of
events at a time, in a fixed order (docs/adr/0021-drift-by-cause.md), so that the deltas of the
causes add up.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum

from truetape.drift.attribution_inputs import (
    FIELDS,
    NO_VALUES,
    BarInputs,
    BarValues,
    CountedPrint,
    Judge,
    ServingRules,
    TradeDelivery,
    recomputed_prints,
    sum_prints,
    values_of_tally,
)
from truetape.drift.knowledge import infer_prints, is_served_as
from truetape.market.bars import Tally, merge
from truetape.market.trades import Trade

_EXACT = Context(prec=60)
_PRICES, _SUMS = FIELDS[:4], FIELDS[4:]


class Cause(StrEnum):
    """A class of events that explains drift; the members stand in the order of application."""

    MISSING = "missing"
    """Received in time but not served: the layer was down or had closed the window, or the archive
    had a hole.
    """
    LATE = "late"
    DUPLICATE = "duplicate"
    CORRECTION = "correction"
    CANCEL = "cancel"
    ELIGIBILITY = "eligibility"
    """Judged by another profile, or by another version of it."""
    REVERT = "revert"
    """A revert to an older publication; never inferred from events."""
    UNEXPLAINED = "unexplained"
    """No class accounts for it: a defect."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one cause adds to a field, and the ids (else source positions) of the deciding trades.

    `lateness_ns` is the longest time from event to receipt among these trades; 0 without trades.
    """

    cause: Cause
    delta: Decimal
    trades: tuple[str, ...] = ()
    lateness_ns: int = 0


@dataclass(frozen=True, slots=True)
class FieldDrift:
    """One field of a bar that changed: the deltas of its parts add up to `after` - `before`."""

    field: str
    before: Decimal
    after: Decimal
    parts: tuple[Part, ...]

    @property
    def delta(self) -> Decimal:
        """Return recomputed minus served."""
        return _EXACT.subtract(self.after, self.before)


def explain(bar: BarInputs, rules: ServingRules, judge: Judge) -> tuple[FieldDrift, ...]:
    """Attribute the drift of one bar, field by field; `judge` is the recompute's.

    A field whose value did not change is included only if its causes cancel each other out.
    """
    steps = _Steps(bar, rules, judge, infer_prints(bar, rules))
    start = _exact(bar.served, steps.values)
    unexplained = _minus(steps.values, start)
    parts: dict[str, list[Part]] = defaultdict(list)
    for cause in steps.causes:
        deltas = steps.apply(cause)
        for field, delta in zip(FIELDS, deltas, strict=True):
            if delta:
                parts[field].append(_part(cause, delta, steps.deciding_trades(field)))
    end = _exact(bar.recomputed, steps.values)
    unexplained = _plus(unexplained, _minus(end, steps.values))
    for field, delta in zip(FIELDS, unexplained, strict=True):
        if delta:
            parts[field].append(Part(Cause.UNEXPLAINED, delta))
    return _drifts(start, end, parts)


def attribute_to(served: BarValues, recomputed: BarValues, cause: Cause) -> tuple[FieldDrift, ...]:
    """Attribute all drift of a bar to a cause that the caller knows, such as a revert."""
    deltas = zip(FIELDS, _minus(recomputed, served), strict=True)
    parts = {field: [Part(cause, delta)] for field, delta in deltas if delta}
    return _drifts(served, recomputed, parts)


def is_explained(drifts: Iterable[FieldDrift]) -> bool:
    """True if classes of events account for all drift."""
    return all(part.cause is not Cause.UNEXPLAINED for drift in drifts for part in drift.parts)


class _Steps:
    """The prints of a bar, changed class by class from the served to the recomputed ones.

    A delivery that the two versions count differently belongs to exactly one class; the others are
    summed once.
    """

    def __init__(
        self,
        bar: BarInputs,
        rules: ServingRules,
        judge: Judge,
        served: Sequence[CountedPrint | None],
    ) -> None:
        self._current: list[CountedPrint | None] = []
        self._target: list[CountedPrint | None] = []
        self._classes: dict[Cause, list[int]] = defaultdict(list)
        self._applied: list[tuple[CountedPrint | None, CountedPrint | None]] = []
        unchanged: list[CountedPrint | None] = []
        recomputed = recomputed_prints(bar, judge)
        served = _by_counted_delivery(bar.deliveries, served, recomputed)
        versions = zip(bar.deliveries, served, recomputed, strict=True)
        for delivery, before, after in versions:
            cause = _class_of(delivery, before, after, rules)
            if cause is None:
                unchanged.append(before)
                continue
            self._classes[cause].append(len(self._current))
            self._current.append(before)
            self._target.append(after)
        self._base = sum_prints(unchanged, bar.base)
        self._total = sum_prints(self._current, self._base)
        self._is_flip = False
        self.values = values_of_tally(self._total)

    @property
    def causes(self) -> list[Cause]:
        """Return the classes that have events, in the order of application."""
        return [cause for cause in Cause if cause in self._classes]

    def apply(self, cause: Cause) -> BarValues:
        """Count one class of events as the recompute does; return how the values move."""
        self._applied = []
        for index in self._classes[cause]:
            self._applied.append((self._current[index], self._target[index]))
            self._current[index] = self._target[index]
        self._total = sum_prints(self._current, self._base)
        past, self.values = self.values, values_of_tally(self._total)
        self._is_flip = (past == NO_VALUES) != (self.values == NO_VALUES)
        return _minus(self.values, past)

    def deciding_trades(self, field: str) -> list[Trade]:
        """Return the trades of the class applied last that changed a field: those that set its new
        value, and those whose presence would prevent it.
        """
        # a bar appears or vanishes by its prices, and every field changes with them
        fields = (field, *_PRICES) if self._is_flip else (field,)
        trades: list[Trade] = []
        for before, after in self._applied:
            counted = after or before
            if counted is not None and any(self._moves(name, before, after) for name in fields):
                trades.append(counted.trade)
        return trades

    def _moves(self, field: str, before: CountedPrint | None, after: CountedPrint | None) -> bool:
        if field in _SUMS:
            return _share(field, before) != _share(field, after)
        return _would_set(field, before, self._total) or _sets(field, after, self._total)


def _by_counted_delivery(
    deliveries: Sequence[TradeDelivery],
    served: Sequence[CountedPrint | None],
    recomputed: Sequence[CountedPrint | None],
) -> list[CountedPrint | None]:
    """Return the served prints, each at the delivery that the recompute counts of its trade.

    A layer counts the first delivery by position, the recompute that received first: whichever it
    is, the trade is neither missing nor counted twice.
    """
    moved = list(served)
    dropped: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, delivery in enumerate(deliveries):
        if delivery.trade.id is not None and served[index] is not None and not recomputed[index]:
            dropped[delivery.trade.feed, delivery.trade.id].append(index)
    for index, delivery in enumerate(deliveries):
        if served[index] is None and recomputed[index] is not None:
            others = dropped.get((delivery.trade.feed, delivery.trade.id or ""))
            if others:
                other = others.pop(0)
                moved[index], moved[other] = served[other], None
    return moved


def _class_of(
    delivery: TradeDelivery,
    served: CountedPrint | None,
    recomputed: CountedPrint | None,
    rules: ServingRules,
) -> Cause | None:
    """Return the class of a delivery; None if both versions count it alike."""
    if served is None:
        if recomputed is None:
            return None
        return Cause.LATE if rules.is_late(delivery.trade) else Cause.MISSING
    if recomputed is None:
        return Cause.DUPLICATE if delivery.duplicate else Cause.CANCEL
    if _terms(served.trade) != _terms(recomputed.trade):
        return Cause.CORRECTION
    if served.eligibility != recomputed.eligibility:
        return Cause.ELIGIBILITY
    return None if served.trade.order == recomputed.trade.order else Cause.DUPLICATE


def _terms(trade: Trade) -> tuple[object, ...]:
    return trade.price, trade.size, trade.conditions


def _share(field: str, item: CountedPrint | None) -> tuple[object, ...]:
    """Return what a print adds to volume, vwap or trades, in comparable form."""
    if item is None:
        return (0, 0)
    if field != "vwap":
        return (item.size if field == "volume" else int(item.eligibility.volume), 0)
    priced = item.size if item.eligibility.high_low else Decimal(0)
    return (priced, priced and item.trade.price)


def _sets(field: str, item: CountedPrint | None, total: Tally) -> bool:
    """True if a price of the bar is this print's."""
    if item is None:
        return False
    if field in ("open", "close"):
        end = total.first if field == "open" else total.last
        return item.eligibility.open_close and end is not None and end[0] == item.trade.order
    extreme = total.high if field == "high" else total.low
    return item.eligibility.high_low and item.trade.price == extreme


def _would_set(field: str, item: CountedPrint | None, total: Tally) -> bool:
    """True if a price of the bar would be this print's if the bar had the print."""
    return (
        item is not None
        and _sets(field, item, merge(total, item.tally()))
        and not _sets(field, item, total)
    )


def _part(cause: Cause, delta: Decimal, trades: Sequence[Trade]) -> Part:
    lateness = max((trade.received_ns - trade.event_ns for trade in trades), default=0)
    labels = dict.fromkeys(trade.id or str(trade.position) for trade in trades)
    return Part(cause, delta, tuple(labels), lateness)


def _exact(served: BarValues, derived: BarValues) -> BarValues:
    """Return the served values, exact wherever the values derived from events equal them."""
    rows = zip(FIELDS, derived, served, strict=True)
    return tuple(
        exact if is_served_as(field, exact, value) else value for field, exact, value in rows
    )


def _minus(left: BarValues, right: BarValues) -> BarValues:
    return tuple(map(_EXACT.subtract, left, right))


def _plus(left: BarValues, right: BarValues) -> BarValues:
    return tuple(map(_EXACT.add, left, right))


def _drifts(
    before: BarValues, after: BarValues, parts: Mapping[str, Sequence[Part]]
) -> tuple[FieldDrift, ...]:
    rows = zip(FIELDS, before, after, strict=True)
    return tuple(
        FieldDrift(field, was, now, tuple(parts[field]))
        for field, was, now in rows
        if parts.get(field)
    )
