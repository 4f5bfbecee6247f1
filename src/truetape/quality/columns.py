"""Converts Arrow columns to NumPy and back. Nulls become values that match no comparison."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.kernel.doubles import doubles as nearest_doubles
from truetape.kernel.ranks import ranks

Column: TypeAlias = "pa.ChunkedArray[Any]"
"""A column of a table."""
Values: TypeAlias = "pa.Array[Any]"
"""A column in one piece."""
Columns: TypeAlias = "Mapping[str, pa.ChunkedArray[Any] | pa.Array[Any]]"

_TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}


_INT64_DIGITS = 18
NUMBER = pa.decimal128(38, 18)
"""Prices, sizes, and their products and sums."""
_LARGE = pa.scalar(Decimal(10) ** 19, NUMBER)
_MAX_RANK, _MAX_RANGE = 2**63, 2**48
_WINDOWS = 4_096
"""Number of windows that are sorted at once: 2 MB of doubles for windows of 50."""


def table(rows: Sequence[Mapping[str, object]], columns: str) -> pa.Table:
    """Build a small table. `columns` lists name:type; the types are text, int, float and bool."""
    fields = [part.partition(":")[::2] for part in columns.split()]
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in fields])
    return pa.Table.from_pylist(list(rows), schema=schema)


def table_of(columns: Columns) -> pa.Table:
    """Build a table of whole columns."""
    return pa.table(columns)


def names(column: Column) -> list[str]:
    """Return the distinct texts of a column, in the order of their `codes`."""
    return ["" if name is None else name for name in _encoded(column).dictionary.to_pylist()]


def codes(column: Column) -> NDArray[np.int64]:
    """Return a number for each text; equal texts have equal numbers."""
    return np.asarray(_encoded(column).indices, dtype=np.int64)


def flags(column: Column) -> NDArray[np.bool_]:
    """Return booleans; null becomes false."""
    return np.asarray(pc.fill_null(column, False), dtype=bool)


def numbers(column: Column) -> NDArray[np.int64]:
    """Return whole numbers; null becomes 0."""
    return np.asarray(pc.fill_null(column, 0).cast(pa.int64()), dtype=np.int64)


def doubles(column: Column) -> NDArray[np.float64]:
    """Return doubles; null becomes NaN."""
    if not pa.types.is_decimal128(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    nearest = nearest_doubles(column).to_numpy()
    return np.where(np.asarray(column.is_valid()), nearest, np.nan)


def in_order(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return rows ordered by columns of texts and whole numbers; null comes last."""
    if any(rows[name].null_count for name in names):
        return rows.sort_by([(name, "ascending") for name in names])
    order = np.lexsort([_places(rows[name]) for name in reversed(names)])
    return rows.take(pa.array(order))


def _places(column: Column) -> NDArray[np.int64]:
    """Return numbers in the order of the values."""
    return numbers(column) if pa.types.is_integer(column.type) else ranks(column)


def floats(values: NDArray[np.float64]) -> Values:
    """Return a column of doubles; NaN becomes null."""
    return pa.array(values, pa.float64(), from_pandas=True)


def remainder(column: Column, by: int) -> Column:
    """Return whole numbers modulo `by`; null stays null. Arrow has no modulo."""
    rest = np.mod(numbers(column), by)
    return pa.chunked_array([pa.array(rest, mask=np.asarray(column.is_null()))])


def scaled(column: Column, scale: int) -> Column:
    """Return decimals as whole numbers of `10^-scale`; null for those that do not fit."""
    whole = _INT64_DIGITS - scale
    is_small = pc.less(pc.abs(column), pa.scalar(Decimal(10) ** whole, column.type))
    narrow = pc.if_else(is_small, column, None).cast(
        pa.decimal128(_INT64_DIGITS, scale), safe=False
    )
    exact = pc.if_else(pc.equal(narrow.cast(column.type), column), narrow, None)
    unit = pa.scalar(Decimal(10) ** scale, pa.decimal128(scale + 1, 0))
    result: Column = pc.cast(pc.multiply(exact, unit), pa.int64())
    return result


def products(prices: Column, sizes: Column) -> Column:
    """Return price x size, rounded half-even to 18 decimals; it must fit 20 digits."""
    is_large = pc.greater_equal(pc.abs(prices), _LARGE)
    # a product with a type of at most 76 digits, all that Arrow has
    left = pc.if_else(is_large, sizes, prices).cast(pa.decimal256(37, 18))
    right = pc.if_else(is_large, prices, sizes).cast(pa.decimal256(38, 18))
    rounded = pc.round(pc.multiply(left, right), 18, "half_to_even")
    result: Column = rounded.cast(NUMBER)
    return result


def packed(table: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each row: rows with equal values in these columns have equal numbers.

    Whole numbers keep their order. Null is equal to null, or to 0.
    """
    numbers, size = np.zeros(table.num_rows, dtype=np.int64), 1
    for name in names:
        values, count = _ranks(table[name])
        if size * count >= _MAX_RANK:
            distinct, numbers = np.unique(numbers, return_inverse=True)
            size = len(distinct)
        numbers, size = numbers * count + values, size * count
    return numbers


def rolling_medians(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the median of each value and those before it, `width` in all; NaN for the first.

    `width` is even. A median of values with NaN means nothing.
    """
    medians = np.full(len(values), np.nan)
    if len(values) < width:
        return medians
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    for start in range(0, len(windows), _WINDOWS):
        ordered = np.sort(windows[start : start + _WINDOWS], axis=1)  # faster than a partition
        end = start + width - 1 + len(ordered)
        middle = ordered[:, width // 2 - 1] + ordered[:, width // 2]
        medians[start + width - 1 : end] = middle / 2
    return medians


def place_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each value's place in its run of equal values: 0, 1, 2 … No value is negative."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    return np.arange(len(values)) - np.repeat(starts, lengths)


def _ranks(column: Column) -> tuple[NDArray[np.int64], int]:
    """Return a number for each value, from 0, and a bound of the numbers."""
    if not pa.types.is_integer(column.type):
        ranks = codes(column)
        return ranks, int(ranks.max(initial=0)) + 1
    values = numbers(column)
    if not len(values):
        return values, 1
    least, most = int(values.min()), int(values.max())
    if most - least < _MAX_RANGE:
        return values - least, most - least + 1
    distinct, ranks = np.unique(values, return_inverse=True)
    return ranks, len(distinct)


def _encoded(column: Column) -> "pa.DictionaryArray[Any, Any]":
    return column.combine_chunks().dictionary_encode(null_encoding="encode")
