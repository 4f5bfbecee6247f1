"""Line protocol of a whole table of rows, column by column. Sends nothing.

The text is exactly that of `lines`, which encodes single rows; `lines` also gives the reasons of
rows that cannot be written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.serving import bar_table, indicator_table, lines
from truetape.serving.schema import BAR, BOOL, FLOAT, INDICATOR, INT, Measurement
from truetape.serving.store import DeadLine

Column = Any
"""An Arrow array."""
_PLAIN = (1e-4, 1e10)
"""Between these sizes Arrow writes a float like Python's `repr`, but for the `.0` of whole ones."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A measurement with the tags symbol and venue, the rows of its tables and their encoder."""

    measurement: Measurement
    rows: Callable[[pa.Table], Iterator[Any]]
    encode: Callable[[Any], str | DeadLine]

    @property
    def fields(self) -> tuple[str, ...]:
        """Return all fields, the optional ones last."""
        return (*self.measurement.fields, *self.measurement.optional)


BARS = Shape(BAR, bar_table.bars_of, lines.bar)
INDICATORS = Shape(INDICATOR, indicator_table.rows_of, lines.indicator)


def checked(shape: Shape, table: pa.Table) -> tuple[pa.Table, list[DeadLine]]:
    """Return the rows that have a line, and the reasons of the others."""
    good = _has_line(shape, table)
    if pc.all(good, min_count=0).as_py():
        return table, []
    refused = map(shape.encode, shape.rows(table.filter(pc.invert(good))))
    return table.filter(good), [text for text in refused if isinstance(text, DeadLine)]


def table_lines(shape: Shape, table: pa.Table, fields: Sequence[str]) -> list[str]:
    """Return a line with some of the fields for each row of a checked table.

    The first field must not be an optional one.
    """
    if not len(table):
        return []
    pieces: list[Any] = [_heads(shape, table)]
    for number, name in enumerate(fields):
        key = f"{',' if number else ' '}{name}="
        column = _column(table, name)
        if name in shape.measurement.optional:
            text = pc.binary_join_element_wise(key, float_texts(column), "")
            pieces.append(pc.fill_null(text, ""))
        else:
            pieces += [key, *_field(shape.measurement.fields[name], column)]
    pieces += [" ", _column(table, "start_ns").cast(pa.string())]
    texts: list[str] = pc.binary_join_element_wise(*pieces, "").to_pylist()
    return texts


def float_texts(column: Column) -> Column:
    """Return the `repr` of each finite float, null for null."""
    texts = column.cast(pa.string())
    whole = pc.equal(pc.floor(column), column)
    texts = pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    size = pc.abs(column)
    is_plain = pc.and_(pc.greater_equal(size, _PLAIN[0]), pc.less(size, _PLAIN[1]))
    odd = pc.fill_null(pc.invert(pc.or_(is_plain, pc.equal(size, 0.0))), False)
    if not pc.any(odd, min_count=0).as_py():
        return texts
    exact = pa.array(map(float.__repr__, column.filter(odd).to_pylist()), pa.string())
    return pc.replace_with_mask(texts, odd, exact)


def _has_line(shape: Shape, table: pa.Table) -> Column:
    start = _column(table, "start_ns")
    good = pc.and_(pc.greater_equal(start, lines.TIMES.start), pc.less(start, lines.TIMES.stop))
    good = pc.and_(good, pc.is_valid(_heads(shape, table)))
    for name in shape.fields:
        kind = shape.measurement.kind_of(name)
        if kind == FLOAT:
            is_finite = pc.is_finite(_column(table, name))
            good = pc.and_(good, pc.fill_null(is_finite, name in shape.measurement.optional))
    if "layer" in shape.fields:
        good = pc.and_(good, pc.is_in(_column(table, "layer"), pa.array(["speed", "batch"])))
    return good


def _heads(shape: Shape, table: pa.Table) -> Column:
    """Return measurement and tags of each row; null where a tag cannot be written."""
    symbols, venues = (_column(table, tag).dictionary_encode() for tag in ("symbol", "venue"))
    several = max(1, len(venues.dictionary))
    codes = symbols.indices.to_numpy().astype(np.int64) * several + venues.indices.to_numpy()
    series, places = np.unique(codes, return_inverse=True)
    symbol, venue = symbols.dictionary.to_pylist(), venues.dictionary.to_pylist()
    name = shape.measurement.name
    heads = [lines.series(name, symbol[code // several], venue[code % several]) for code in series]
    return pa.array(heads, pa.string()).take(pa.array(places))


def _field(kind: str, column: Column) -> list[Any]:
    if kind == FLOAT:
        return [float_texts(column)]
    if kind == INT:
        return [column.cast(pa.string()), "i"]
    if kind == BOOL:
        return [pc.if_else(column, "true", "false")]
    return ['"', column, '"']  # the layer, which is checked


def _column(table: pa.Table, name: str) -> Column:
    return table.column(name).combine_chunks()
