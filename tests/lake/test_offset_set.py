"""Sets of offsets, held against Python's own sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truetape.host.errors import ConfigError
from truetape.lake.offset_set import (
    Stretch,
    Stretches,
    below,
    common,
    covered,
    merged,
    parse,
    size,
    text_of,
    without,
)

OFFSETS = st.sets(st.integers(0, 40))


def of(offsets: set[int]) -> Stretches:
    return merged(Stretch(offset, offset) for offset in offsets)


def offsets_of(stretches: Stretches) -> list[int]:
    """Every offset, as often as it is there."""
    return [offset for one in stretches for offset in range(one.first, one.last + 1)]


def pairs(*ends: tuple[int, int]) -> Stretches:
    return tuple(Stretch(first, last) for first, last in ends)


@given(OFFSETS, OFFSETS)
def test_they_are_the_sets_that_they_stand_for(some: set[int], others: set[int]) -> None:
    left, right = of(some), of(others)

    assert offsets_of(left) == sorted(some)
    assert offsets_of(common(left, right)) == sorted(some & others)
    assert offsets_of(without(left, right)) == sorted(some - others)
    assert offsets_of(merged([*left, *right])) == sorted(some | others)
    assert size(left) == len(some)


@given(OFFSETS, OFFSETS)
def test_what_comes_out_never_touches(some: set[int], others: set[int]) -> None:
    for found in (common(of(some), of(others)), without(of(some), of(others)), of(some)):
        ends = [one.last for one in found[:-1]]
        assert all(end + 1 < one.first for end, one in zip(ends, found[1:], strict=True))


@given(OFFSETS, st.integers(1, 5))
def test_a_cover_holds_all_in_few_pieces(some: set[int], most: int) -> None:
    cover = covered(of(some), most)

    assert some <= set(offsets_of(cover))
    assert len(cover) == min(most, len(of(some)))


def test_a_cover_closes_the_smallest_gaps_first() -> None:
    several = pairs((0, 1), (5, 6), (8, 9), (100, 100))

    assert covered(several, 2) == pairs((0, 9), (100, 100))
    assert covered(several, 3) == pairs((0, 1), (5, 9), (100, 100))


def test_below_is_half_open() -> None:
    assert below(3) == pairs((0, 2))
    assert below(5, 3) == pairs((3, 4))
    assert below(3, 3) == below(0) == below(2, 7) == ()


def test_offsets_are_read_as_they_are_written() -> None:
    found = parse("3:5-9, 0:100-200,3:12,3:10-11")

    assert found == {0: pairs((100, 200)), 3: pairs((5, 12))}
    assert list(found) == [0, 3]
    assert parse(text_of(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "5", "0:", "0:9-5", "0:-5", "a:1-2", "0:1-2;", "0:1..2", "0:1-99999999999999999999"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"0:100-200|give the first one first"):
        parse(text)
