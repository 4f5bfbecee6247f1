"""Offsets as people write them."""

import pytest

from truetape.host.errors import ConfigError
from truetape.lake.offset_text import format_offsets, from_pairs, parse_offsets, to_pairs
from truetape.market.ranges import Ranges


def test_offsets_are_parsed_as_they_are_written() -> None:
    offsets = parse_offsets("3:5-9, 0:100-200,3:12,3:10-11")

    assert offsets == {0: Ranges.between(100, 201), 3: Ranges.between(5, 13)}
    assert list(offsets) == [0, 3]
    assert parse_offsets(format_offsets(offsets)) == offsets


def test_both_ends_of_a_pair_are_included() -> None:
    offsets = from_pairs([(5, 9), (0, 0)])

    assert (0 in offsets, 4 in offsets, 9 in offsets, 10 in offsets) == (True, False, True, False)
    assert to_pairs(offsets) == [[0, 0], [5, 9]]


@pytest.mark.parametrize(
    "text",
    ["", "5", "0:", "0:9-5", "0:-5", "a:1-2", "0:1-2;", "0:1..2", "0:1-99999999999999999999"],
)
def test_any_other_text_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"0:100-200|give the first one first"):
        parse_offsets(text)
