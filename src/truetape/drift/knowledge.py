"""Which events a layer knew when it served a bar, inferred from the values that it served.

Pure; does no I/O. The rules say what a layer counts. But a driver stops, and an archive has a hole:
the served bar is the evidence.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal

from truetape.drift.attribution_inputs import (
    FIELDS,
    NO_VALUES,
    BarInputs,
    BarValues,
    CountedPrint,
    Knows,
    ServingRules,
    TradeDelivery,
    counted_print,
    known_trades,
    served_prints,
    sum_prints,
    values_of_tally,
)
from truetape.market.canonical import amended
from truetape.market.trades import Event, Position

MAX_GAPS = 32
"""Most gaps in the stream that are tried for a served bar before its drift is unexplained."""
_NOTHING = Decimal(0)
_OLD_VWAP = Decimal(1).scaleb(-8)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)

Place = Callable[[Iterable[Position]], Position]
Share = tuple[Position, int, Decimal]
"""Position of an event, and what it adds to the number of prints and to the volume."""


def infer_prints(bar: BarInputs, rules: ServingRules) -> Sequence[CountedPrint | None]:
    """Return for each delivery the print that the layer likeliest counted: those that give the
    served values, compared as doubles.

    Return what the layer should have counted by its rules if no candidate gives them.
    """
    for knows in _candidates(bar, rules):
        prints = served_prints(bar, rules, knows)
        if rounds_to(values_of_tally(sum_prints(prints, bar.base)), bar.served):
            return prints
    return served_prints(bar, rules, rules.knows)


def rounds_to(exact: BarValues, served: BarValues) -> bool:
    """True if the nearest doubles of the exact values are the served ones."""
    return all(map(is_served_as, FIELDS, exact, served))


def is_served_as(field: str, exact: Decimal, served: Decimal) -> bool:
    """True if an exact value is served as this one: as its nearest double, or by an older version
    as that of its VWAP with eight decimals.
    """
    if float(exact) == float(served):
        return True
    return field == "vwap" and float(exact.quantize(_OLD_VWAP, context=_EXACT)) == float(served)


def _candidates(bar: BarInputs, rules: ServingRules) -> Iterator[Knows]:
    """Yield what the layer may have known, the likeliest first.

    A bar without some of its trades has one gap in the stream: at the end, if the driver stopped;
    in the middle, if a hole was filled later. A publication may also know trades received after it
    by the clock of another machine.
    """
    yield rules.knows
    if bar.served == NO_VALUES:
        yield _knows_nothing
        return
    assumptions = [rules.knows]
    if rules.as_of_ns is not None:
        assumptions.append(_knows_everything)
        yield _knows_everything
    for knows in assumptions:
        yield from _with_gaps(bar, rules, knows, min)
        if any(len(same) > 1 for same in known_trades(bar, rules, knows)):
            yield from _with_gaps(bar, rules, knows, max)


def _with_gaps(bar: BarInputs, rules: ServingRules, knows: Knows, place: Place) -> Iterator[Knows]:
    """Yield knowledge with one gap in the stream, the latest gaps first.

    The number and the volume of the served prints say how much the gap must contain. A gap contains
    a trade only if it contains all of its deliveries, so a trade that was delivered again is in
    doubt at both ends: `place` is `min` for gaps that may begin among the deliveries, `max` for
    gaps that may end there.
    """
    shares = sorted(_shares(bar, rules, knows, place), key=lambda share: share[0])
    sums = [(0, _NOTHING)]
    for _, trades, volume in shares:
        sums.append((sums[-1][0] + trades, sums[-1][1] + volume))
    missing = (
        sums[-1][0] + bar.base.trades - int(bar.served[6]),
        sums[-1][1] + bar.base.volume - bar.served[4],
    )
    begins: dict[tuple[int, Decimal], list[int]] = defaultdict(list)
    for index, total in enumerate(sums):
        begins[total].append(index)
    tried = 0
    for end in range(len(sums) - 1, 0, -1):
        sum_before = sums[end][0] - missing[0], sums[end][1] - missing[1]
        for begin in reversed(begins.get(sum_before, ())):
            if begin < end and tried < MAX_GAPS:
                tried += 1
                yield _except(frozenset(share[0] for share in shares[begin:end]), knows)


def _shares(bar: BarInputs, rules: ServingRules, knows: Knows, place: Place) -> Iterator[Share]:
    """Yield what each known event adds to the number of prints and to the volume."""
    counted = set()
    for same in known_trades(bar, rules, knows):
        first = rules.first_of(same)
        counted.add(first.position)
        where = place(trade.position for trade in same)
        yield where, *_count_and_volume(counted_print(bar, first, rules.judge))
        yield from ((trade.position, 0, _NOTHING) for trade in same if trade.position != where)
    if rules.applies_amendments:
        for delivery in bar.deliveries:
            if delivery.amendments and delivery.trade.position in counted:
                yield from _amendment_shares(bar, rules, knows, delivery)


def _amendment_shares(
    bar: BarInputs, rules: ServingRules, knows: Knows, delivery: TradeDelivery
) -> Iterator[Share]:
    before = _count_and_volume(counted_print(bar, delivery.trade, rules.judge))
    applied = [amendment for amendment in delivery.amendments if knows(amendment)]
    for number, amendment in enumerate(applied, 1):
        result = amended(delivery.trade, applied[:number])
        now = None if result.cancelled else counted_print(bar, result.trade, rules.judge)
        after = _count_and_volume(now)
        yield amendment.position, after[0] - before[0], after[1] - before[1]
        before = after


def _count_and_volume(item: CountedPrint | None) -> tuple[int, Decimal]:
    return (0, _NOTHING) if item is None else (int(item.eligibility.volume), item.size)


def _knows_nothing(event: Event) -> bool:  # noqa: ARG001 - the signature of `Knows`
    return False


def _knows_everything(event: Event) -> bool:  # noqa: ARG001 - the signature of `Knows`
    return True


def _except(unknown: frozenset[Position], knows: Knows) -> Knows:
    return lambda event: event.position not in unknown and knows(event)
