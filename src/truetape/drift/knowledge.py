"""Which events a layer knew when it served a bar, inferred from the values that it served.

Pure; does no I/O. The rules say what a layer should have known. But a watermark passes a minute
between two batches, a driver stops, an archive has a hole: the served bar is the evidence.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from truetape.drift.attribution_inputs import (
    NO_VALUES,
    BarInputs,
    BarValues,
    CountedPrint,
    Knows,
    ServingRules,
    counted_print,
    served_prints,
    sum_prints,
    values_of_tally,
)
from truetape.market.bars import Tally
from truetape.market.canonical import amended
from truetape.market.trades import Event, Position

MAX_GAPS = 32
"""Most gaps in the stream that are tried for a served bar before its drift is unexplained."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The prints that the layer counted, one or None for each delivery, and their order."""

    prints: Sequence[CountedPrint | None]
    by_arrival: bool


def infer_knowledge(bar: BarInputs, rules: ServingRules) -> Knowledge:
    """Return the likeliest knowledge that gives the served values, compared as doubles.

    Return what the layer should have known by its rules if no candidate gives them.
    """
    # a base was summed in the total order; its first and last by arrival are unknown
    orders = (False, True) if bar.base == Tally() else (False,)
    for by_arrival in orders:
        for knows, variant in _candidates(bar, rules):
            prints = served_prints(bar, variant, knows)
            if by_arrival:
                prints = [item and item.by_arrival() for item in prints]
            if rounds_to(values_of_tally(sum_prints(prints, bar.base)), bar.served):
                return Knowledge(prints, by_arrival)
    return Knowledge(served_prints(bar, rules, rules.knows), by_arrival=False)


def rounds_to(exact: BarValues, served: BarValues) -> bool:
    """True if the nearest doubles of the exact values are the served ones."""
    return [float(value) for value in exact] == [float(value) for value in served]


def _candidates(bar: BarInputs, rules: ServingRules) -> Iterator[tuple[Knows, ServingRules]]:
    """Yield what the layer may have known, and the rules that it applied, the likeliest first.

    A bar without some of its trades has one gap in the stream: at the end, if the minute was closed
    or the driver stopped; in the middle, if a hole was filled later.
    """
    yield rules.knows, rules
    if bar.served == NO_VALUES:
        yield _knows_nothing, rules
        return
    variants = [rules]
    if any(delivery.duplicate for delivery in bar.deliveries):
        variants.append(replace(rules, deduplicated_feeds=frozenset()))
    for variant in variants:
        yield variant.knows, variant
        yield _knows_everything, variant
    for variant in variants:
        for knows in (variant.knows, _knows_everything):
            yield from ((with_gap, variant) for with_gap in _with_gaps(bar, variant, knows))


def _with_gaps(bar: BarInputs, rules: ServingRules, knows: Knows) -> Iterator[Knows]:
    """Yield knowledge with one gap in the stream, the latest gaps first.

    The number and the volume of the served prints say how much the gap must contain.
    """
    shares = sorted(_shares(bar, rules, knows), key=lambda share: share[0])
    sums = [(0, Decimal(0))]
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


def _shares(
    bar: BarInputs, rules: ServingRules, knows: Knows
) -> Iterator[tuple[Position, int, Decimal]]:
    """Yield what each known event adds to the number of prints and to the volume."""
    unamended = served_prints(bar, replace(rules, as_of_ns=None), knows)
    for delivery, item in zip(bar.deliveries, unamended, strict=True):
        if item is None:
            continue
        before = _count_and_volume(item)
        yield delivery.trade.position, *before
        applied = [each for each in delivery.amendments if rules.applies_amendments and knows(each)]
        for number, amendment in enumerate(applied, 1):
            result = amended(delivery.trade, applied[:number])
            now = None if result.cancelled else counted_print(bar, result.trade, rules.judge)
            after = _count_and_volume(now)
            yield amendment.position, after[0] - before[0], after[1] - before[1]
            before = after


def _count_and_volume(item: CountedPrint | None) -> tuple[int, Decimal]:
    return (0, Decimal(0)) if item is None else (int(item.eligibility.volume), item.size)


def _knows_nothing(event: Event) -> bool:  # noqa: ARG001 - the signature of `Knows`
    return False


def _knows_everything(event: Event) -> bool:  # noqa: ARG001 - the signature of `Knows`
    return True


def _except(unknown: frozenset[Position], knows: Knows) -> Knows:
    return lambda event: event.position not in unknown and knows(event)
