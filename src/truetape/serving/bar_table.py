"""Served bars as an Arrow table, with the fields of `ServedBar` as columns. Reads no store."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.doubles import doubles
from truetape.serving.store import BAR_NUMBERS, Layer, ServedBar

COLUMNS = tuple(field.name for field in fields(ServedBar))
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("symbol", "venue", "layer"), pa.string()),
    **dict.fromkeys(("start_ns", "trades", "rev", "seq"), pa.int64()),
    **dict.fromkeys(BAR_NUMBERS, pa.float64()),
    **dict.fromkeys(("final", "void"), pa.bool_()),
}
SCHEMA = pa.schema({name: _TYPES[name] for name in COLUMNS})
NO_BARS = SCHEMA.empty_table()

_values = attrgetter(*COLUMNS)


def table_of(bars: Iterable[ServedBar]) -> pa.Table:
    """Return bars as a table, in their order."""
    rows = [_values(bar) for bar in bars]
    if not rows:
        return NO_BARS
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def unpublished(rows: pa.Table, layer: Layer) -> pa.Table:
    """Return rows with exact numbers as bars that no publication wrote; see
    `ServedBar.unpublished`.
    """
    states = {"rev": 0, "layer": layer, "final": False, "void": False}
    columns: list[Any] = [
        _repeated(states[name], kind, rows.num_rows)
        if name in states
        else doubles(rows[name])
        if name in BAR_NUMBERS
        else rows[name].cast(kind)
        for name, kind in zip(COLUMNS, SCHEMA.types, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def bars_of(table: pa.Table) -> Iterator[ServedBar]:
    """Yield the bars of a table, in its order."""
    columns = [_python(table.column(name)) for name in COLUMNS]
    for values in zip(*columns, strict=True):
        yield ServedBar(*values)


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of several tables, perhaps of none, in one piece."""
    return pa.concat_tables([NO_BARS, *tables]).combine_chunks()


def with_values(table: pa.Table, **values: Any) -> pa.Table:
    """Return the same rows with one value in each of some columns."""
    for name, value in values.items():
        place = COLUMNS.index(name)
        column = _repeated(value, _TYPES[name], len(table))
        table = table.set_column(place, SCHEMA.field(place), column)
    return table


def in_state(table: pa.Table, *, rev: int, layer: Layer, final: bool, void: bool) -> pa.Table:
    """Return the same values in another state; see `ServedBar.in_state`."""
    return with_values(table, rev=rev, layer=layer, final=final, void=void)


def of_symbols(table: pa.Table, symbols: Iterable[str]) -> pa.Table:
    """Return the rows of some symbols."""
    wanted = pa.array(sorted(symbols), pa.string())
    return table.filter(pc.is_in(table.column("symbol"), wanted))


def _repeated(value: Any, kind: Any, count: int) -> Any:
    return pa.repeat(pa.scalar(value, kind), count)


def _python(column: "pa.ChunkedArray[Any]") -> Sequence[Any]:
    """Return the values of a column as Python's, floats and integers by way of numpy."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        numbers: list[Any] = column.to_numpy().tolist()
        return numbers
    values: list[Any] = column.to_pylist()
    return values
