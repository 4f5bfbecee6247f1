"""Data files: writes rows of a table as Parquet files that no version of the table has yet.

Works on any machine that reaches the lake: only `delta`, in one process, commits them.
A file whose writer died stays on disk until `maintenance` removes it; no reader sees it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from truetape.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

_GROUP_ROWS = 131_072
_GROUP_BYTES = 64_000_000
"""A row group is written when it has so many rows or bytes."""
MAX_HELD_BYTES = 192_000_000
"""A writer holds so much for all partitions; above that it writes the largest row group early."""
FILE_BYTES = 256_000_000
"""A file that has grown so large is followed by another one."""
_PLAIN = re.compile(r"[^\w.-]")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a table: its path in the table's folder, partition values, bytes and rows.

    `statistics`: rows, least and greatest values, as Delta's log has them, in JSON.
    """

    path: str
    partition: Mapping[str, str | None]
    size: int
    rows: int
    statistics: str


class DataFileWriter:
    """Writes rows of a table into new files, one or more for each partition.

    As a context manager it removes its files if its body fails. Not for several threads at once.
    """

    def __init__(self, files: "fs.FileSystem", table: Table) -> None:
        from truetape.lake.schemas import PARTITIONS, SCHEMAS

        self._files = files
        self._table = table
        self._schema = SCHEMAS[table]
        self._by = PARTITIONS[table]
        self._open: dict[tuple[str | None, ...], _OpenFile] = {}
        self._paths: list[str] = []
        self._written: list[DataFile] = []

    def __enter__(self) -> "DataFileWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()

    def write(self, rows: "pa.Table") -> None:
        """Write rows with the columns of `lake.schemas`, in any order of columns."""
        rows = rows.select(self._schema.names).cast(self._schema)
        for key, part in _by_partition(rows, self._by):
            file = self._open.get(key) or self._begun(key)
            self._open[key] = file
            file.add(part)
            if file.size >= FILE_BYTES:
                self._written.append(self._open.pop(key).finish())
        while sum(file.held_bytes for file in self._open.values()) > MAX_HELD_BYTES:
            max(self._open.values(), key=attrgetter("held_bytes")).flush()

    def finish(self) -> list[DataFile]:
        """Complete the files and return them."""
        while self._open:
            _, file = self._open.popitem()
            self._written.append(file.finish())
        return self._written

    def discard(self) -> None:
        """Remove all files that were written."""
        for file in self._open.values():
            file.abandon()
        self._open.clear()
        _delete(self._files, self._paths)

    def _begun(self, key: tuple[str | None, ...]) -> "_OpenFile":
        partition = dict(zip(self._by, key, strict=True))
        path = _new_path(partition)
        self._paths.append(path)
        fields = [field for field in self._schema if field.name not in partition]
        return _OpenFile(self._files, self._table, path, partition, fields)


class _OpenFile:
    """A file that is being written; the rows of its next row group are in memory."""

    def __init__(
        self,
        files: "fs.FileSystem",
        table: Table,
        path: str,
        partition: Mapping[str, str | None],
        fields: "Sequence[pa.Field[Any]]",
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path, self._partition = path, partition
        self._schema = pa.schema(fields)
        self._footers: list[Any] = []
        self._held: list[pa.Table] = []
        self._rows = self.held_bytes = 0
        is_large = table is Table.RAW  # it holds the payloads
        with ExitStack() as stack:
            files.create_dir(path.rpartition("/")[0] or ".")
            self._sink = stack.enter_context(files.open_output_stream(path))
            self._parquet = pq.ParquetWriter(
                self._sink,
                self._schema,
                compression="zstd" if is_large else "lz4",
                compression_level=1 if is_large else None,
                use_dictionary=False,
                metadata_collector=self._footers,
            )
            stack.pop_all()

    @property
    def size(self) -> int:
        """Return the bytes that were written so far."""
        return int(self._sink.tell())

    def add(self, rows: "pa.Table") -> None:
        """Add rows; write a row group as soon as one is full."""
        self._held.append(rows.select(self._schema.names))
        self._rows += rows.num_rows
        self.held_bytes += rows.nbytes
        if self._rows >= _GROUP_ROWS or self.held_bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory as a row group."""
        import pyarrow as pa

        if self._held:
            self._parquet.write_table(pa.concat_tables(self._held), row_group_size=_GROUP_ROWS)
        self._held, self._rows, self.held_bytes = [], 0, 0

    def finish(self) -> DataFile:
        """Complete the file."""
        try:
            self.flush()
            self._parquet.close()
            size = self.size
        finally:
            self._sink.close()
        (footer,) = self._footers
        bounds = _statistics(footer, self._schema)
        return DataFile(self._path, self._partition, size, footer.num_rows, bounds)

    def abandon(self) -> None:
        """Close the file without completing it."""
        with suppress(OSError):
            self._parquet.close()
        with suppress(OSError):
            self._sink.close()


def _new_path(partition: Mapping[str, str | None]) -> str:
    """Return the path of a new file, in a folder named after its partition."""
    folders = [
        f"{name}={_NO_VALUE if value is None else _PLAIN.sub('_', value)}"
        for name, value in partition.items()
    ]
    return "/".join([*folders, f"part-{uuid4()}.parquet"])


def remove(files: "fs.FileSystem", written: Iterable[DataFile]) -> None:
    """Remove files, as far as the storage answers."""
    _delete(files, [file.path for file in written])


@contextmanager
def removed_on_failure(files: "fs.FileSystem", written: Sequence[DataFile]) -> Iterator[None]:
    """Remove files if the body fails; those that are written during it, too."""
    try:
        yield
    except BaseException:
        remove(files, written)
        raise


def _delete(files: "fs.FileSystem", paths: Iterable[str]) -> None:
    for path in paths:
        with suppress(OSError):
            files.delete_file(path)


def _by_partition(
    rows: "pa.Table", columns: Sequence[str]
) -> "Iterator[tuple[tuple[str | None, ...], pa.Table]]":
    """Divide rows by the values of the partition columns, as texts of Delta's log."""
    import pyarrow.compute as pc

    if not rows.num_rows:
        return
    values = rows.group_by(list(columns)).aggregate([]).to_pylist() if columns else [{}]
    for value in values:
        key = tuple(None if value[name] is None else str(value[name]) for name in columns)
        part = rows
        if len(values) > 1:
            for name in columns:
                wanted = value[name]
                of_value = (
                    pc.is_null(part[name]) if wanted is None else pc.equal(part[name], wanted)
                )
                part = part.filter(of_value)
        yield key, part


def _statistics(footer: Any, schema: "pa.Schema") -> str:
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


def _has_bounds(kind: "pa.DataType", pa: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind))


def _is_null(chunk: Any) -> bool:
    """True if a column has no value in a row group; then it has no bounds."""
    return bool(chunk.statistics.null_count == chunk.num_values)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
