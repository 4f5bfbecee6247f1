"""Upgrade: rewrites the tables of an older lake with the columns of `schemas`.

Values stay as they are. Events and trades get their `notional`, and events a `new_id`. Each file is
written anew, batch by batch, and one commit for each table swaps the files, so a killed upgrade has
changed whole tables only, and the next run goes on with the others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from truetape.host.errors import ConfigError
from truetape.lake.damage import damaged
from truetape.lake.data_files import DataFile, remove, removed_on_failure
from truetape.lake.delta import (
    LakeTable,
    TablePart,
    lost_race,
    new_files,
    open_of_any_version,
    table_files,
)
from truetape.lake.tables import Table, table_path

if TYPE_CHECKING:
    import pyarrow

_NOTE = "upgrade: the columns of this version"


@dataclass(frozen=True, slots=True)
class UpgradedTable:
    """A table that was rewritten."""

    table: Table
    files: int
    rows: int


def upgrade(lake: str, report: Callable[[str], None] = lambda _: None) -> Iterator[UpgradedTable]:
    """Rewrite each table of an older version; safe to kill and to run again.

    Raise TransientError if another program writes the table meanwhile. A failed run removes what it
    wrote; the files of a killed one stay on disk, and no reader sees them.
    """
    for name in Table:
        table = open_of_any_version(lake, name)
        if table is not None and table.is_outdated():
            yield _upgrade(table, report)


def _upgrade(table: LakeTable, report: Callable[[str], None]) -> UpgradedTable:
    files = [list(parts) for _, parts in groupby(table.parts(), lambda part: part.path)]
    written: list[DataFile] = []
    with removed_on_failure(table_files(table.lake, table.name), written):
        for number, parts in enumerate(files, 1):
            written += _rewritten(table, parts)
            rows = sum(file.rows for file in written)
            report(f"{table.name}: file {number:,} of {len(files):,}, {rows:,} rows")
    if not table.swap_files(written, _NOTE):
        remove(table_files(table.lake, table.name), written)
        raise lost_race(table_path(table.lake, table.name))
    return UpgradedTable(table.name, len(files), sum(file.rows for file in written))


def _rewritten(table: LakeTable, parts: Sequence[TablePart]) -> list[DataFile]:
    """Write the rows of a file anew; return the new files."""
    import pyarrow as pa

    with new_files(table.lake, table.name) as writer:
        for part in parts:
            for batch in part.batches():
                writer.write(_widened(table, pa.Table.from_batches([batch])))
        files = writer.finish()
    written, expected = sum(file.rows for file in files), sum(part.rows for part in parts)
    if written != expected:
        detail = f"{parts[0].path} has {written} rows, and its footer says {expected}"
        raise damaged(table.lake, table.name, detail)
    return files


def _widened(table: LakeTable, rows: "pyarrow.Table") -> "pyarrow.Table":
    """Return rows in the present columns; a column that they lack is null."""
    import pyarrow as pa

    from truetape.lake.schemas import SCHEMAS

    schema = SCHEMAS[table.name]
    try:
        if table.name is Table.TRADES:
            rows = rows.append_column("notional", _notional(rows["price"], rows["size"]))
        if table.name is Table.RAW:
            place = rows.schema.get_field_index("events")
            rows = rows.set_column(place, "events", _events(rows["events"].combine_chunks()))
        columns = {
            field.name: rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in schema
        }
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"{table_path(table.lake, table.name)} has a number that does not fit 20 digits: "
            f"{error}; recompute its session with the version that wrote it, then upgrade"
        ) from error
    return pa.table(columns, schema=schema)


def _events(lists: Any) -> Any:
    """Return the events of records in the columns of `schemas.EVENT`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from truetape.lake.schemas import EVENT

    items = pa.Table.from_struct_array(pc.list_flatten(lists))
    if "notional" not in items.column_names:
        items = items.append_column("notional", _notional(items["price"], items["size"]))
    if "new_id" not in items.column_names:
        items = items.append_column("new_id", pa.nulls(items.num_rows, pa.string()))
    columns = [items[field.name].combine_chunks().cast(field.type) for field in EVENT]
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    return pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(columns, fields=list(EVENT)), mask=lists.is_null()
    )


def _notional(prices: Any, sizes: Any) -> Any:
    """Return price x size of old widths: 17 decimals, so that nothing is rounded."""
    import pyarrow.compute as pc

    from truetape.lake.schemas import NUMBER

    return pc.multiply(prices, sizes).cast(NUMBER)
