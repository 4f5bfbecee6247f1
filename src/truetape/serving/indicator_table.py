"""Indicator rows as an Arrow table: key, `rev`, `void`, and a column for each indicator, null where
it is absent. Reads no store.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from truetape.serving.row_keys import matches
from truetape.serving.schema import INDICATOR_NAMES
from truetape.serving.store import IndicatorRow

_TYPES: dict[str, pa.DataType] = {
    "symbol": pa.string(),
    "venue": pa.string(),
    "start_ns": pa.int64(),
    "rev": pa.int64(),
    "void": pa.bool_(),
    **dict.fromkeys(INDICATOR_NAMES, pa.float64()),
}
SCHEMA = pa.schema(_TYPES)
NO_ROWS = SCHEMA.empty_table()


def table_of(rows: Iterable[IndicatorRow]) -> pa.Table:
    """Return rows as a table, in their order. Raise KeyError for an unknown indicator."""
    known = [
        {"symbol": row.symbol, "venue": row.venue, "start_ns": row.start_ns}
        | {"rev": row.rev, "void": row.void}
        | {name: row.values[name] for name in sorted(row.values)}
        for row in rows
    ]
    return pa.Table.from_pylist(known, schema=SCHEMA)


def rows_of(table: pa.Table) -> Iterator[IndicatorRow]:
    """Yield the rows of a table, in its order."""
    for row in table.to_pylist():
        values = {name: row[name] for name in INDICATOR_NAMES if row[name] is not None}
        yield IndicatorRow(
            row["symbol"], row["venue"], row["start_ns"], values, row["rev"], void=row["void"]
        )


def shrinking(stored: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the stored rows that have a value which the new row of the same key lacks."""
    places = matches(stored, rows)
    new = rows.take(places)
    loses = pa.repeat(False, len(stored))
    for name in INDICATOR_NAMES:
        lost = pc.and_(pc.is_valid(stored.column(name)), pc.is_null(new.column(name)))
        loses = pc.or_(loses, lost.combine_chunks())
    return stored.filter(pc.and_(loses, pc.is_valid(places)))


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of several tables, perhaps of none, in one piece."""
    return pa.concat_tables([NO_ROWS, *tables]).combine_chunks()
