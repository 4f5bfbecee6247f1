"""What a layer knew when it served a bar, judged by the values that it served.

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

MAX_CANDIDATES = 32
"""Stretches of the stream that are tried as what a served bar lacks, before it is unexplained."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The prints that the layer counted, one or None a delivery. Not `holds` where no belief gives
    the served values: then they are those of the layer's rules.
    """

    prints: Sequence[CountedPrint | None]
    by_arrival: bool
    holds: bool


def infer_knowledge(window: BarInputs, rules: ServingRules) -> Knowledge:
    """Return the likeliest belief that gives the served values, by float as a reader gets them."""
    expected: Knowledge | None = None
    # a base was added up in the total order; by arrival it would be another one
    orders = (False, True) if window.base == Tally() else (False,)
    for by_arrival in orders:
        for known, way in _candidates(window, rules):
            prints = served_prints(window, way, known)
            if by_arrival:
                prints = [one and one.by_arrival() for one in prints]
            if rounds_to(values_of_tally(sum_prints(prints, window.base)), window.served):
                return Knowledge(prints, by_arrival, holds=True)
            expected = expected or Knowledge(prints, by_arrival, holds=False)
    assert expected is not None  # noqa: S101 - the first belief always comes
    return expected


def rounds_to(exact: BarValues, served: BarValues) -> bool:
    """Say whether a reader of exact values gets the served ones: the nearest doubles."""
    return [float(value) for value in exact] == [float(value) for value in served]


def _candidates(window: BarInputs, rules: ServingRules) -> Iterator[tuple[Knows, ServingRules]]:
    """Yield what the layer may have known, and by which rules it went, the likeliest first.

    A bar that lacks trades lacks one stretch of the stream: its end, when the minute was closed or
    the driver stopped; its midst, when a hole was filled later.
    """
    yield rules.knows, rules
    if window.served == NO_VALUES:
        yield _knows_nothing, rules
        return
    ways = [rules]
    if any(delivery.duplicate for delivery in window.deliveries):
        ways.append(replace(rules, drops_repeats=frozenset()))
    for way in ways:
        yield way.knows, way
        yield _knows_everything, way
    for way in ways:
        for known in (way.knows, _knows_everything):
            yield from ((knows, way) for knows in _without_a_stretch(window, way, known))


def _without_a_stretch(window: BarInputs, rules: ServingRules, known: Knows) -> Iterator[Knows]:
    """Yield beliefs that leave out one stretch of what is known, the latest stretches first.

    The number and the volume of the served prints say how much a stretch must hold.
    """
    shares = sorted(_shares(window, rules, known), key=lambda share: share[0])
    sums = [(0, Decimal(0))]
    for _, trades, volume in shares:
        sums.append((sums[-1][0] + trades, sums[-1][1] + volume))
    lacking = (
        sums[-1][0] + window.base.trades - int(window.served[6]),
        sums[-1][1] + window.base.volume - window.served[4],
    )
    begins: dict[tuple[int, Decimal], list[int]] = defaultdict(list)
    for place, total in enumerate(sums):
        begins[total].append(place)
    tried = 0
    for end in range(len(sums) - 1, 0, -1):
        wanted = sums[end][0] - lacking[0], sums[end][1] - lacking[1]
        for begin in reversed(begins.get(wanted, ())):
            if begin < end and tried < MAX_CANDIDATES:
                tried += 1
                yield _all_but(frozenset(share[0] for share in shares[begin:end]), known)


def _shares(
    window: BarInputs, rules: ServingRules, known: Knows
) -> Iterator[tuple[Position, int, Decimal]]:
    """Yield what each known event adds to the number of prints and to the volume."""
    plain = served_prints(window, replace(rules, as_of_ns=None), known)
    for delivery, one in zip(window.deliveries, plain, strict=True):
        if one is None:
            continue
        before = _count_and_volume(one)
        yield delivery.trade.position, *before
        heeded = [item for item in delivery.amendments if rules.amends and known(item)]
        for number, amendment in enumerate(heeded, 1):
            item = amended(delivery.trade, heeded[:number])
            now = None if item.cancelled else counted_print(window, item.trade, rules.judge)
            after = _count_and_volume(now)
            yield amendment.position, after[0] - before[0], after[1] - before[1]
            before = after


def _count_and_volume(one: CountedPrint | None) -> tuple[int, Decimal]:
    return (0, Decimal(0)) if one is None else (int(one.eligibility.volume), one.size)


def _knows_nothing(event: Event) -> bool:  # noqa: ARG001 - one signature for all beliefs
    return False


def _knows_everything(event: Event) -> bool:  # noqa: ARG001 - the same
    return True


def _all_but(unknown: frozenset[Position], known: Knows) -> Knows:
    return lambda event: event.position not in unknown and known(event)
