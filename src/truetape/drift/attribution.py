"""Drift of one bar: which events explain the step from what was served to what was recomputed.

Pure; does no I/O. One class of events is applied at a time, in a fixed order, to what the serving
layer knew (docs/adr/0021-drift-by-cause.md), so that the deltas of the causes add up.
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
from truetape.drift.knowledge import infer_knowledge
from truetape.market.bars import Tally, merge
from truetape.market.trades import Trade

_EXACT = Context(prec=60)
_PRICES, _SUMS = FIELDS[:4], FIELDS[4:]


class Cause(StrEnum):
    """A class of events that explains drift; the members stand in the order of application."""

    MISSING = "missing"
    """On time, and yet not in what was served: the layer was down, or the archive had a hole."""
    LATE = "late"
    DUPLICATE = "duplicate"
    CORRECTION = "correction"
    CANCEL = "cancel"
    ELIGIBILITY = "eligibility"
    """Judged by another profile, or another version of it."""
    ORDER = "order"
    """The same prints, told first and last by their arrival and not by the total order."""
    REVERT = "revert"
    """Said by whoever brought an older publication back; never found from events."""
    UNEXPLAINED = "unexplained"
    """What no class accounts for: a defect."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one cause adds to a field, and the trades that matter: ids, else source positions.

    `lateness_ns` is how long after its event the latest of them was received; 0 without trades.
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


def explain(window: BarInputs, rules: ServingRules, judge: Judge) -> tuple[FieldDrift, ...]:
    """Attribute the drift of one bar, field by field; `judge` is that of the recompute.

    A field without drift is there only where causes outweigh each other.
    """
    believed = infer_knowledge(window, rules)
    steps = _Steps(window, rules, judge, believed.prints, by_arrival=believed.by_arrival)
    start = _exact(window.served, steps.values)
    unexplained = _minus(steps.values, start)
    parts: dict[str, list[Part]] = defaultdict(list)
    for cause in steps.causes:
        deltas = steps.take(cause)
        for field, delta in zip(FIELDS, deltas, strict=True):
            if delta:
                parts[field].append(_part(cause, delta, steps.deciding(field)))
    end = _exact(window.recomputed, steps.values)
    unexplained = _plus(unexplained, _minus(end, steps.values))
    for field, delta in zip(FIELDS, unexplained, strict=True):
        if delta:
            parts[field].append(Part(Cause.UNEXPLAINED, delta))
    return _drifts(start, end, parts)


def attribute_to(served: BarValues, recomputed: BarValues, cause: Cause) -> tuple[FieldDrift, ...]:
    """Attribute all drift of a bar to a cause that somebody tells, such as a revert."""
    deltas = zip(FIELDS, _minus(recomputed, served), strict=True)
    parts = {field: [Part(cause, delta)] for field, delta in deltas if delta}
    return _drifts(served, recomputed, parts)


def is_explained(drifts: Iterable[FieldDrift]) -> bool:
    """Say whether classes of events account for all of it."""
    return all(part.cause is not Cause.UNEXPLAINED for drift in drifts for part in drift.parts)


def trade_label(trade: Trade) -> str:
    """Return what a trade is called in the ledger: its id, else where it was read."""
    return trade.id or str(trade.position)


class _Steps:
    """The prints of a bar on their way from what was served to what counts now.

    Each delivery that the sides do not count alike belongs to exactly one class; the others are
    added up once.
    """

    def __init__(
        self,
        window: BarInputs,
        rules: ServingRules,
        judge: Judge,
        served: Sequence[CountedPrint | None],
        *,
        by_arrival: bool,
    ) -> None:
        self._now: list[CountedPrint | None] = []
        self._then: list[CountedPrint | None] = []
        self._classes: dict[Cause, list[int]] = defaultdict(list)
        self._taken: list[tuple[CountedPrint | None, CountedPrint | None]] = []
        alike: list[CountedPrint | None] = []
        sides = zip(window.deliveries, served, recomputed_prints(window, judge), strict=True)
        for delivery, now, then in sides:
            cause = _class_of(delivery, now, then, rules)
            if cause is None and not by_arrival:
                alike.append(now)
                continue
            place = len(self._now)
            if cause is not None:
                self._classes[cause].append(place)
            if by_arrival:
                self._classes[Cause.ORDER].append(place)
            self._now.append(now)
            self._then.append(then.by_arrival() if then and by_arrival else then)
        self._base = sum_prints(alike, window.base)
        self._before = self._total = sum_prints(self._now, self._base)
        self._is_flip = False
        self.values = values_of_tally(self._total)

    @property
    def causes(self) -> list[Cause]:
        """Return the classes that there are events of, in the order of application."""
        return [cause for cause in Cause if cause in self._classes]

    def take(self, cause: Cause) -> BarValues:
        """Let one class of events count as it does in the end; return what that moves."""
        self._taken = []
        for place in self._classes[cause]:
            before, after = self._now[place], self._then[place]
            if cause is Cause.ORDER:
                after = before and before.in_order()
            self._now[place] = after
            self._taken.append((before, after))
        self._before, self._total = self._total, sum_prints(self._now, self._base)
        past, self.values = self.values, values_of_tally(self._total)
        self._is_flip = (past == NO_VALUES) != (self.values == NO_VALUES)
        return _minus(self.values, past)

    def deciding(self, field: str) -> list[Trade]:
        """Return the trades of the class taken last that changed a field: those that set the new
        value, or would have kept it from being reached.
        """
        # a bar that appears or vanishes does so by its prices, and takes every field along
        fields = (field, *_PRICES) if self._is_flip else (field,)
        found: list[Trade] = []
        for before, after in self._taken:
            one = after or before
            if one is not None and any(self._moves(name, before, after) for name in fields):
                found.append(one.trade)
        return found

    def _moves(self, field: str, before: CountedPrint | None, after: CountedPrint | None) -> bool:
        if field in _SUMS:
            return _share(field, before) != _share(field, after)
        if before is not None and after is not None and before.key != after.key:
            return _sets(field, before, self._before) or _sets(field, after, self._total)
        return _beats(field, before, self._total) or _sets(field, after, self._total)


def _class_of(
    delivery: TradeDelivery,
    served: CountedPrint | None,
    counts: CountedPrint | None,
    rules: ServingRules,
) -> Cause | None:
    """Return the one class that a delivery belongs to, None where both sides count it alike."""
    if served is None:
        if counts is None:
            return None
        return Cause.LATE if rules.is_late(delivery.trade) else Cause.MISSING
    if counts is None:
        return Cause.DUPLICATE if delivery.duplicate else Cause.CANCEL
    if _terms(served.trade) != _terms(counts.trade):
        return Cause.CORRECTION
    return None if served.eligibility == counts.eligibility else Cause.ELIGIBILITY


def _terms(trade: Trade) -> tuple[object, ...]:
    return trade.price, trade.size, trade.conditions


def _share(field: str, one: CountedPrint | None) -> tuple[object, ...]:
    """Return what a print adds to a field that is made of sums."""
    if one is None:
        return (0, 0)
    if field != "vwap":
        return (one.size if field == "volume" else int(one.eligibility.volume), 0)
    priced = one.size if one.eligibility.high_low else Decimal(0)
    return (priced, priced and one.trade.price)


def _sets(field: str, one: CountedPrint | None, total: Tally) -> bool:
    """Say whether a price of a bar is this print's."""
    if one is None:
        return False
    if field in ("open", "close"):
        end = total.first if field == "open" else total.last
        return one.eligibility.open_close and end is not None and end[0] == one.key
    extreme = total.high if field == "high" else total.low
    return one.eligibility.high_low and one.trade.price == extreme


def _beats(field: str, one: CountedPrint | None, total: Tally) -> bool:
    """Say whether a price of a bar would be this print's, if the bar had it."""
    return (
        one is not None
        and _sets(field, one, merge(total, one.tally()))
        and not _sets(field, one, total)
    )


def _part(cause: Cause, delta: Decimal, trades: Sequence[Trade]) -> Part:
    lateness = max((one.received_ns - one.event_ns for one in trades), default=0)
    return Part(cause, delta, tuple(dict.fromkeys(map(trade_label, trades))), lateness)


def _exact(served: BarValues, reached: BarValues) -> BarValues:
    """Return the exact values that were served, where they are those that events lead to."""
    pairs = zip(served, reached, strict=True)
    return tuple(exact if float(exact) == float(value) else value for value, exact in pairs)


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
