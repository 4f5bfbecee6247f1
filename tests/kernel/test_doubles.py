"""Doubles of decimals: the nearest ones, whatever the width."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truetape.kernel.doubles import doubles

EDGES = [
    "0", "1", "-1", "100.01", "-100.01", "0.1", "0.3", "90071992.54740992", "90071992.54740993",
    "90071992.54740994", "123456789012345678.1", "0.00000001", "1.15",
]  # fmt: skip


@pytest.mark.parametrize("scale", [8, 9, 17, 18])
def test_each_decimal_becomes_its_nearest_double(scale: int) -> None:
    values = [None, *map(Decimal, EDGES), Decimal(1).scaleb(-scale), Decimal(123457).scaleb(-scale)]

    result = doubles(pa.chunked_array([pa.array(values, pa.decimal128(38, scale))]))

    assert result.to_pylist() == [float(value or 0) for value in values]


@given(
    st.lists(st.decimals(min_value=-(10**19), max_value=10**19, places=18), max_size=30),
    st.integers(0, 5),
)
def test_every_decimal_of_the_widest_kind_becomes_its_nearest_double(
    values: list[Decimal], skipped: int
) -> None:
    """Also of a slice of a column."""
    column = pa.chunked_array([pa.array(values, pa.decimal128(38, 18))]).slice(skipped)

    assert doubles(column).to_pylist() == [float(value) for value in values[skipped:]]
