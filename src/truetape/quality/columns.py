"""Columns of Arrow as NumPy takes them, and back. Nulls become what a comparison never finds."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}


def table(rows: Sequence[Mapping[str, object]], columns: str) -> pa.Table:
    """Build a table of a few rows; `columns` lists name:type, the type text, int, float or bool."""
    fields = [part.partition(":")[::2] for part in columns.split()]
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in fields])
    return pa.Table.from_pylist(list(rows), schema=schema)


def names(column: pa.ChunkedArray) -> list[str]:
    """Return the different texts of a column, in the order of their `codes`."""
    return ["" if name is None else name for name in _encoded(column).dictionary.to_pylist()]


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a whole number for each text, equal for equal ones."""
    return np.asarray(_encoded(column).indices, dtype=np.int64)


def flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return booleans, false for null."""
    return np.asarray(pc.fill_null(column, False), dtype=bool)


def numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return whole numbers, 0 for null."""
    return np.asarray(pc.fill_null(column, 0).cast(pa.int64()), dtype=np.int64)


def doubles(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return doubles, NaN for null."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def floats(values: NDArray[np.float64]) -> pa.Array:
    """Return doubles as a column, null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def remainder(column: pa.ChunkedArray, by: int) -> pa.ChunkedArray:
    """Return whole numbers modulo `by`, null where they are; Arrow has no such function."""
    rest = np.mod(numbers(column), by)
    return pa.chunked_array([pa.array(rest, mask=np.asarray(column.is_null()))])


def whole(column: pa.ChunkedArray, scale: int) -> pa.ChunkedArray:
    """Return decimals of up to 18 digits as whole numbers of their last place."""
    unit = pa.scalar(Decimal(10) ** scale, pa.decimal128(scale + 1, 0))
    return pc.cast(pc.multiply(column, unit), pa.int64())


def place_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2 … from the start of each run of equal values; none is below 0."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    return np.arange(len(values)) - np.repeat(starts, lengths)


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks().dictionary_encode(null_encoding="encode")
