"""Upgrade: rewrites the tables of an older lake with the widths of `schemas`.

Values stay as they are. Events and trades get their `notional`. Each file is written anew, batch by
batch, and one commit for each table swaps the files, so a killed upgrade has changed whole tables
only, and the next run goes on with the others.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from truetape.host.errors import ConfigError
from truetape.lake.damage import damaged
from truetape.lake.delta import DataFile, LakeTable, open_of_any_width, translated
from truetape.lake.tables import Table, table_path

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.fs
    import pyarrow.parquet

_BATCH_ROWS = 32_768
"""Rows in memory, and in a row group of a new file: about 30 MB of records."""
_NOTE = "upgrade: numbers of 20 digits and 18 decimals"


@dataclass(frozen=True, slots=True)
class UpgradedTable:
    """A table that was rewritten."""

    table: Table
    files: int
    rows: int


def upgrade(lake: str, report: Callable[[str], None] = lambda _: None) -> Iterator[UpgradedTable]:
    """Rewrite each table that has numbers of old widths; safe to kill and to run again.

    Raise TransientError if another program writes the table meanwhile. A failed run removes what it
    wrote; the files of a killed one stay on disk, and no reader sees them.
    """
    for name in Table:
        table = open_of_any_width(lake, name)
        if table is not None and table.has_old_widths():
            yield _upgrade(table, report)


def _upgrade(table: LakeTable, report: Callable[[str], None]) -> UpgradedTable:
    files, rows = table.data_files(), 0
    system = table.filesystem()
    written: list[DataFile] = []
    with _removed_on_failure(written, system), translated(table.lake, table.name):
        for number, file in enumerate(files, 1):
            path = str(PurePosixPath(file.path).with_name(f"part-{uuid4()}.zstd.parquet"))
            written.append(DataFile(path, file.partition, 0))
            written[-1], count = _rewritten(table, system, file, path)
            rows += count
            report(f"{table.name}: file {number:,} of {len(files):,}, {rows:,} rows")
        table.swap_files(written, _NOTE)
    return UpgradedTable(table.name, len(files), rows)


@contextmanager
def _removed_on_failure(
    files: Sequence[DataFile], system: "pyarrow.fs.FileSystem"
) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for file in files:
            with suppress(OSError):
                system.delete_file(file.path)
        raise


def _rewritten(
    table: LakeTable, system: "pyarrow.fs.FileSystem", file: DataFile, path: str
) -> tuple[DataFile, int]:
    """Write a file anew under another path; return it and the number of its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from truetape.lake.schemas import SCHEMAS

    columns = [field for field in SCHEMAS[table.name] if field.name not in file.partition]
    schema = pa.schema(columns)
    footers: list[Any] = []
    with (
        system.open_input_file(file.path) as source,
        system.open_output_stream(path) as target,
        pq.ParquetWriter(
            target, schema, compression="zstd", compression_level=1, metadata_collector=footers
        ) as writer,
    ):
        old = pq.ParquetFile(source)
        for batch in old.iter_batches(_BATCH_ROWS):
            writer.write_table(_widened(table, pa.Table.from_batches([batch]), schema))
        rows = old.metadata.num_rows
    (footer,) = footers
    if footer.num_rows != rows:
        detail = f"{file.path} has {footer.num_rows} rows, and its footer says {rows}"
        raise damaged(table.lake, table.name, detail)
    (info,) = system.get_file_info([path])
    return DataFile(path, file.partition, info.size or 0, _statistics(footer, schema)), rows


def _widened(table: LakeTable, rows: "pyarrow.Table", schema: "pyarrow.Schema") -> "pyarrow.Table":
    """Return rows in the columns of a schema; a column that they lack is null."""
    import pyarrow as pa

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
    items = items.append_column("notional", _notional(items["price"], items["size"]))
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


def _statistics(footer: Any, schema: "pyarrow.Schema") -> str:
    """Return the rows of a file and the bounds of its texts, whole numbers and dates, as JSON."""
    import pyarrow as pa

    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    for place in range(footer.num_columns):
        name = footer.schema.column(place).path
        if name not in schema.names or not _has_bounds(schema.field(name).type, pa):
            continue
        chunks = [group.column(place) for group in groups]
        bounds = [chunk.statistics for chunk in chunks]
        nulls[name] = sum(each.null_count for each in bounds)
        bounded = [each for each in bounds if each.has_min_max]
        if bounded and len(bounded) + sum(map(_is_null, chunks)) == len(chunks):
            least[name] = _plain(min(each.min for each in bounded))
            most[name] = _plain(max(each.max for each in bounded))
    return json.dumps(
        {
            "numRecords": footer.num_rows,
            "minValues": least,
            "maxValues": most,
            "nullCount": nulls,
        }
    )


def _has_bounds(kind: "pyarrow.DataType", pa: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind))


def _is_null(chunk: Any) -> bool:
    """True if a column has no value in a row group; then it has no bounds."""
    return bool(chunk.statistics.null_count == chunk.num_values)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
