"""Sets of whole numbers, compared with Python's own sets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truetape.market.ranges import Range, Ranges

NUMBERS = st.sets(st.integers(0, 40))


def ranges_of(numbers: set[int]) -> Ranges:
    return Ranges(Range(number, number + 1) for number in numbers)


def numbers_of(ranges: Ranges) -> list[int]:
    """Return every number, as often as a range has it."""
    return [number for part in ranges for number in range(part.start, part.end)]


def pairs(*ends: tuple[int, int]) -> Ranges:
    return Ranges(Range(start, end) for start, end in ends)


@given(NUMBERS, NUMBERS)
def test_union_intersection_and_difference_are_those_of_sets(
    left: set[int], right: set[int]
) -> None:
    mine, theirs = ranges_of(left), ranges_of(right)

    assert numbers_of(mine) == sorted(left)
    assert numbers_of(mine & theirs) == sorted(left & right)
    assert numbers_of(mine - theirs) == sorted(left - right)
    assert numbers_of(mine | theirs) == sorted(left | right)
    assert mine.size == len(left)
    assert all((number in mine) is (number in left) for number in range(42))


@given(NUMBERS, NUMBERS)
def test_ranges_of_a_set_are_ascending_and_never_touch(left: set[int], right: set[int]) -> None:
    mine, theirs = ranges_of(left), ranges_of(right)

    for result in (mine, mine & theirs, mine - theirs, mine | theirs):
        assert all(earlier.end < later.start for earlier, later in pairwise(result))


@given(NUMBERS, st.integers(1, 5))
def test_a_coarsened_set_holds_every_number_in_few_ranges(numbers: set[int], most: int) -> None:
    coarse = ranges_of(numbers).coarsened(most)

    assert numbers <= set(numbers_of(coarse))
    assert len(coarse) == min(most, len(ranges_of(numbers)))


def test_coarsening_closes_the_smallest_gaps_first() -> None:
    ranges = pairs((0, 2), (5, 7), (8, 10), (100, 101))

    assert ranges.coarsened(2) == pairs((0, 10), (100, 101))
    assert ranges.coarsened(3) == pairs((0, 2), (5, 10), (100, 101))


def test_ranges_are_half_open() -> None:
    assert Ranges.between(3, 5) == pairs((3, 5))
    assert numbers_of(Ranges.between(3, 5)) == [3, 4]
    assert Ranges.between(3, 3) == Ranges.between(7, 2) == Ranges()
    assert not Ranges([Range(4, 4)])
    assert (Range(3, 5).last, Range(3, 5).size, str(Range(3, 5))) == (4, 2, "3 to 4")


def test_a_range_covers_another_only_with_both_ends() -> None:
    assert Range(3, 9).covers(Range(3, 9))
    assert Range(3, 9).covers(Range(4, 8))
    assert not Range(3, 9).covers(Range(2, 8))
    assert not Range(3, 9).covers(Range(4, 10))


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot end before it"):
        Range(5, 4)
