"""Holes: missing offsets at the start, in the middle, at the end, or all of them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truetape.lake.completeness import (
    Completeness,
    CountedRange,
    Hole,
    completeness,
    joined,
)
from truetape.lake.generations import Generations
from truetape.market.ranges import Range

LOGS = Generations("t", {}, {}).log


def offset_range(first: int, last: int) -> CountedRange:
    """Build a range with each record once and one event in each."""
    size = last - first + 1
    return CountedRange(Range(first, last + 1), records=size, accepted=size, rejected=0)


def only(found: list[Completeness]) -> Completeness:
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("held", "kafka", "holes"),
    [
        ([(0, 9)], (0, 10), []),
        ([], (0, 0), []),
        ([(0, 9)], (10, 10), []),
        ([(0, 12)], (0, 10), []),
        ([(7, 9)], (0, 10), [(0, 6, True)]),
        ([(7, 9)], (7, 10), [(0, 6, False)]),
        ([(7, 9)], (4, 10), [(0, 3, False), (4, 6, True)]),
        ([(0, 2), (6, 9)], (0, 10), [(3, 5, True)]),
        ([(0, 2), (6, 9)], (3, 10), [(3, 5, True)]),
        ([(0, 2), (6, 9)], (6, 10), [(3, 5, False)]),
        ([(0, 2), (6, 9)], (5, 10), [(3, 4, False), (5, 5, True)]),
        ([(0, 9)], (0, 11), [(10, 10, True)]),
        ([(0, 9)], (12, 15), [(10, 11, False), (12, 14, True)]),
        ([(0, 9)], (15, 15), [(10, 14, False)]),
        ([], (0, 5), [(0, 4, True)]),
        ([], (5, 5), [(0, 4, False)]),
        ([(1, 1), (3, 3)], (0, 5), [(0, 0, True), (2, 2, True), (4, 4, True)]),
    ],
    ids=[
        "all that Kafka gave out",
        "nothing given out",
        "all of it, and Kafka dropped its own",
        "records came after Kafka was asked",
        "the start",
        "the start, which Kafka dropped",
        "the start, of which Kafka dropped a part",
        "the middle",
        "the middle, where Kafka begins",
        "the middle, which Kafka dropped",
        "the middle, of which Kafka dropped a part",
        "the end",
        "the end, of which Kafka dropped a part",
        "the end, which Kafka dropped",
        "everything",
        "everything, which Kafka dropped",
        "start, middle and end",
    ],
)
def test_holes_are_found_with_whether_kafka_still_has_them(
    held: Sequence[tuple[int, int]], kafka: tuple[int, int], holes: list[tuple[int, int, bool]]
) -> None:
    found = only(completeness(LOGS, {3: [offset_range(*one) for one in held]}, {3: Range(*kafka)}))

    assert found.holes == tuple(
        Hole("t", 3, Range(first, last + 1), recoverable) for first, last, recoverable in holes
    )
    assert found.records == sum(last - first + 1 for first, last in held)


def test_a_partition_that_only_kafka_or_only_the_lake_has_is_listed() -> None:
    found = completeness(LOGS, {2: [offset_range(1, 4)]}, {0: Range(0, 0), 1: Range(0, 2)})

    assert [(part.partition, part.first, part.last, part.records) for part in found] == [
        (0, None, None, 0),
        (1, None, None, 0),
        (2, 1, 4, 4),
    ]
    assert [part.holes for part in found] == [
        (),
        (Hole("t", 1, Range(0, 2), recoverable=True),),
        (Hole("t", 2, Range(0, 1), recoverable=False),),
    ]


def test_ranges_that_touch_or_overlap_are_merged() -> None:
    ranges = [
        offset_range(5, 9),
        offset_range(0, 2),
        offset_range(3, 4),
        offset_range(12, 13),
        offset_range(8, 10),
    ]

    assert joined(ranges) == (
        CountedRange(Range(0, 11), records=13, accepted=13, rejected=0),
        CountedRange(Range(12, 14), records=2, accepted=2, rejected=0),
    )


def test_a_record_that_the_lake_has_twice_is_counted_as_repeated() -> None:
    ranges = joined([offset_range(0, 9), offset_range(4, 6), offset_range(5, 5)])

    found = only(completeness(LOGS, {0: ranges}, {0: Range(0, 10)}))

    assert (found.records, found.repeated, found.holes) == (14, 4, ())


OFFSETS = st.sets(st.integers(0, 30))


@given(OFFSETS, st.integers(0, 30), st.integers(0, 30))
def test_archived_and_missing_offsets_are_all_that_kafka_assigned(
    held: set[int], begin: int, more: int
) -> None:
    kept = Range(begin, begin + more)
    ranges = joined(offset_range(offset, offset) for offset in held)

    found = only(completeness(LOGS, {0: ranges}, {0: kept}))

    in_holes = [
        (offset, hole.recoverable)
        for hole in found.holes
        for offset in range(hole.offsets.start, hole.offsets.end)
    ]
    given_out = range(max(kept.end, max(held, default=-1) + 1))
    assert sorted(in_holes) == [
        (offset, kept.start <= offset) for offset in given_out if offset not in held
    ]
