"""Columns of frames: their order, and their doubles."""

import math
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from truetape.quality.columns import NUMBER, doubles, in_order

TEXTS = st.sampled_from(["", "A", "AB", "a", "é", "\U0001f600", "\uffff"])
LONGS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(TEXTS, LONGS), max_size=12))
def test_rows_are_ordered_as_arrow_orders_them(rows: list[tuple[str, int]]) -> None:
    table = pa.table({"symbol": pa.array([text for text, _ in rows], pa.string()),
                      "ordinal": pa.array([number for _, number in rows], pa.int64())})  # fmt: skip

    ordered = in_order(table, ("symbol", "ordinal"))

    assert ordered == table.sort_by([("symbol", "ascending"), ("ordinal", "ascending")])


def test_rows_without_a_value_come_last() -> None:
    table = pa.table({"symbol": ["B", None, "A"], "ordinal": [1, 2, 3]})

    assert in_order(table, ("symbol", "ordinal"))["ordinal"].to_pylist() == [3, 1, 2]


def test_a_decimal_becomes_its_nearest_double_and_null_no_number() -> None:
    column = pa.chunked_array([pa.array([Decimal("0.1"), None, Decimal("1e-18")], NUMBER)])

    first, second, third = doubles(column).tolist()

    assert (first, third) == (0.1, 1e-18)
    assert math.isnan(second)
