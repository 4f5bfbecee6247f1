"""Opens, reads, appends, replaces and deletes: the only module that uses deltalake.

Knows the columns of each table (`schemas`), not their meaning. Works on Delta's files, without
Spark. What a library raises about a table's files leaves this module as an error of truetape.
"""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truetape.host.errors import ConfigError, TransientError
from truetape.host.storage import storage_error
from truetape.lake.damage import damaged, is_local, require_sound_log, table_error
from truetape.lake.data_files import DataFile, DataFileWriter, remove
from truetape.lake.tables import Filters, Table, table_path
from truetape.market.resolution import MS_NS
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import deltalake
    import pyarrow
    import pyarrow.dataset
    import pyarrow.fs

SMALL_BATCHES: Mapping[str, Any] = {
    "batch_size": 32_768,
    "batch_readahead": 2,
    "fragment_readahead": 1,
}
"""What a scan of nested events needs: with its defaults Arrow reads 500 MB of them ahead."""
MAX_TRIES = 5
"""How often a delete is tried when other writers commit meanwhile."""

_WRITERS: Mapping[Table, str] = {
    Table.RAW: "archive",
    Table.COVERAGE: "archive",
    Table.GENERATIONS: "archive",
    Table.DIRTY: "archive",
    Table.SUPERSEDED: "publish",
    Table.DRIFT: "publish",
    Table.PUBLICATIONS: "publish",
}
"""The verb that writes a table first; `recompute` for all others."""


OLD_WIDTHS = frozenset({"decimal(18,9)", "decimal(18,8)", "decimal(28,8)", "decimal(38,17)"})
"""The types of numbers in the first lakes, which `truetape lake upgrade` widens."""
EVENTS_FIELD, EVENT_FIELD = '"events"', '"new_id"'
"""The column of the events in `raw`, and their newest field, as Delta spells names."""
_DECIMAL = re.compile(r"decimal\(\d+,\d+\)")


@dataclass(frozen=True, slots=True)
class TablePart:
    """Row groups of one file of a table. It can be sent to another process, which reads them."""

    lake: str
    name: Table
    _fragment: "pyarrow.dataset.ParquetFileFragment"
    _schema: "pyarrow.Schema"

    @property
    def path(self) -> str:
        """Return the path of the file in the table's folder."""
        return str(self._fragment.path)

    @property
    def rows(self) -> int:
        """Return how many rows it has, by the file's footer."""
        return sum(group.num_rows for group in self._fragment.row_groups)

    def batches(
        self,
        columns: Sequence[str] | None = None,
        condition: "pyarrow.dataset.Expression | None" = None,
    ) -> "Iterator[pyarrow.RecordBatch]":
        """Yield the rows that satisfy a condition, in batches of bounded size."""
        names = None if columns is None else list(columns)
        with translated(self.lake, self.name):
            yield from self._fragment.to_batches(
                schema=self._schema, columns=names, filter=condition, **SMALL_BATCHES
            )


@dataclass(frozen=True, slots=True)
class LakeTable:
    """One version of a table. Every read raises ConfigError if files of the table are damaged, or
    if this user may not read them.
    """

    lake: str
    name: Table
    _delta: "deltalake.DeltaTable"

    def version(self) -> int:
        """Return the number of the newest commit."""
        return int(self._delta.version())

    def id(self) -> str:
        """Return the id that Delta gave the table when it was created."""
        return str(self._delta.metadata().id)  # deltalake declares it as int; it is a UUID's text

    def is_outdated(self) -> bool:
        """True if `lake.upgrade` must rewrite the table: a number has the type of an older version,
        in a struct too, or the events of `raw` lack a field.
        """
        text = self._delta.schema().to_json()
        lacks_field = EVENTS_FIELD in text and EVENT_FIELD not in text
        return lacks_field or not OLD_WIDTHS.isdisjoint(_DECIMAL.findall(text))

    def column_types(self) -> dict[str, str]:
        """Return the type of each column as Delta spells it, for example `decimal(18,9)`."""
        return _type_names(self._delta.schema())

    def partitions(self) -> list[dict[str, Any]]:
        """Return the values of the partition columns, from the log alone."""
        with translated(self.lake, self.name):
            return list(self._delta.partitions())

    def files(self, session: Session) -> list[str]:
        """Return the URIs of a session's files."""
        with translated(self.lake, self.name):
            return self._delta.file_uris(file_pruning_predicate=_of_partition(session))

    def parts(self, condition: "pyarrow.dataset.Expression | None" = None) -> list[TablePart]:
        """Return the row groups that may have rows that satisfy a condition, one or more a part.

        The bounds of the log and of the files' footers say which.
        """
        with translated(self.lake, self.name):
            dataset = self._dataset()
            return [
                TablePart(self.lake, self.name, piece, dataset.schema)
                for fragment in dataset.get_fragments(condition)
                for piece in fragment.split_by_row_group(condition, dataset.schema)
            ]

    def append_files(self, files: Iterable[DataFile], transaction: str, note: str) -> None:
        """Add files to the table in one commit, as the next transaction of this name; nothing
        without files. `note` is kept in the commit.

        Raise TransientError if another writer has committed the same transaction since this version
        was opened; the files are removed then. After any other error they may be the table's.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import CommitFailedError

        added = list(files)
        if not added:
            return
        number = (self.transaction_version(transaction) or 0) + 1
        properties = CommitProperties(
            custom_metadata={"note": note}, app_transactions=[Transaction(transaction, number)]
        )
        try:
            self._commit(added, "append", None, properties)
        except CommitFailedError as error:
            remove(table_files(self.lake, self.name), added)
            raise lost_race(table_path(self.lake, self.name), error) from error

    def swap_files(
        self, files: Iterable[DataFile], note: str, session: Session | None = None
    ) -> bool:
        """Replace all files, or those of a session, by others in one commit. The table keeps its id
        and its transactions, and gets the columns of `lake.schemas`.

        Return False, and change nothing, if anybody has committed since this version was opened.
        """
        from deltalake import CommitProperties
        from deltalake.exceptions import CommitFailedError

        of = None if session is None else _of_partition(session)
        properties = CommitProperties(max_commit_retries=0, custom_metadata={"note": note})
        try:
            self._commit(files, "overwrite", of, properties)
        except CommitFailedError:
            return False
        return True

    def _commit(
        self,
        files: Iterable[DataFile],
        mode: str,
        of: list[tuple[str, str, Any]] | None,
        properties: "deltalake.CommitProperties",
    ) -> None:
        from deltalake import Schema
        from deltalake.transaction import AddAction

        from truetape.lake.schemas import SCHEMAS

        now_ms = time.time_ns() // MS_NS
        actions: list[Any] = [
            AddAction(file.path, file.size, file.partition, now_ms, True, file.statistics)
            for file in files
        ]
        with translated(self.lake, self.name):
            self._delta.create_write_transaction(
                actions,
                mode,
                Schema.from_arrow(SCHEMAS[self.name]),
                list(self._delta.metadata().partition_columns),
                partition_filters=of,
                commit_properties=properties,
            )

    def file_statistics(self) -> list[dict[str, Any]]:
        """Return what the log has about each file: partition values, least and greatest values."""
        import pyarrow

        with translated(self.lake, self.name):
            return list(pyarrow.table(self._delta.get_add_actions(flatten=True)).to_pylist())

    def transaction_version(self, application: str) -> int | None:
        """Return the number of an application's last transaction."""
        with translated(self.lake, self.name):
            return self._delta.transaction_version(application)

    def rows(
        self, filters: Filters | None = None, columns: Sequence[str] | None = None
    ) -> "pyarrow.Table":
        """Return the rows that satisfy all filters."""
        names = None if columns is None else list(columns)
        with translated(self.lake, self.name):
            return self._delta.to_pyarrow_table(
                filters=filters, columns=names, filesystem=self._files()
            )

    def select(
        self,
        columns: Sequence[str],
        condition: "pyarrow.dataset.Expression | None" = None,
        **bounds: Any,
    ) -> "pyarrow.Table":
        """Return the rows that satisfy a condition; `bounds` limit what Arrow reads ahead."""
        with translated(self.lake, self.name):
            return self._dataset().to_table(columns=list(columns), filter=condition, **bounds)

    def batches(
        self,
        columns: Sequence[str],
        condition: "pyarrow.dataset.Expression | None" = None,
        **bounds: Any,
    ) -> "Iterator[pyarrow.RecordBatch]":
        """Yield the same rows batch by batch."""
        with translated(self.lake, self.name):
            yield from self._dataset().to_batches(columns=list(columns), filter=condition, **bounds)

    def head(
        self, count: int, columns: Sequence[str], condition: "pyarrow.dataset.Expression"
    ) -> "pyarrow.Table":
        """Return up to `count` of the rows that satisfy a condition."""
        with translated(self.lake, self.name):
            return self._dataset().scanner(columns=list(columns), filter=condition).head(count)

    def count(self, condition: "pyarrow.dataset.Expression") -> int:
        """Count the rows that satisfy a condition, from the files' footers where these suffice."""
        with translated(self.lake, self.name):
            return int(self._dataset().count_rows(filter=condition))

    def logged_rows(self, column: str, values: Collection[str]) -> int | None:
        """Count the rows with one of these values in a column of text, by the log alone.

        None if the log cannot say: a file has other values beside them, or no statistics.
        """
        import pyarrow
        import pyarrow.compute as pc

        with translated(self.lake, self.name):
            files = pyarrow.table(self._delta.get_add_actions(flatten=True))
        names = ("num_records", f"min.{column}", f"max.{column}")
        if not set(names) <= set(files.column_names):
            return None if files.num_rows else 0
        counts, least, most = (files[name] for name in names)
        if counts.null_count or not pc.all(pc.equal(least, most), min_count=0).as_py():
            return None
        is_wanted = pc.is_in(least, pyarrow.array(sorted(values), pyarrow.string()))
        return int(pc.sum(counts.filter(is_wanted)).as_py() or 0)

    def _dataset(self) -> "pyarrow.dataset.Dataset":
        return self._delta.to_pyarrow_dataset(filesystem=self._files())

    def _files(self) -> "pyarrow.fs.FileSystem | None":
        """Return Arrow's own access to a local table, None for deltalake's.

        Deltalake's calls Python from Arrow's threads. If one of them still closes a file while the
        interpreter ends, the process is aborted.
        """
        return table_files(self.lake, self.name) if is_local(self.lake) else None

    def append(self, tables: "Iterable[pyarrow.Table]", transaction: str, note: str) -> None:
        """Append rows in one commit; see `append_files`. What `tables` raises leaves unchanged;
        nothing is written then.
        """
        with new_files(self.lake, self.name) as writer:
            for rows in tables:
                writer.write(rows)
            files = writer.finish()
        self.append_files(files, transaction, note)

    def delete(self, where: str) -> int:
        """Delete rows; return how many. Raise CommitFailedError if another writer was first."""
        with translated(self.lake, self.name):
            return int(self._delta.delete(where)["num_deleted_rows"])

    def compact(self) -> tuple[int, int]:
        """Merge small files; return how many were merged, and how many were written for them."""
        path = table_path(self.lake, self.name)
        with translated(self.lake, self.name), first_to_commit(path):
            counts = self._delta.optimize.compact()
        return int(counts["numFilesRemoved"]), int(counts["numFilesAdded"])

    def vacuum(self, keep_h: int) -> int:
        """Delete files that were replaced over `keep_h` hours ago, and those as old that no version
        ever had; return how many.
        """
        path = table_path(self.lake, self.name)
        with translated(self.lake, self.name), first_to_commit(path):
            return len(self._delta.vacuum(retention_hours=keep_h, dry_run=False, full=True))


def table_files(lake: str, table: Table) -> "pyarrow.fs.FileSystem":
    """Return the file system whose root is a table's folder, which need not exist."""
    from pyarrow.fs import LocalFileSystem, PyFileSystem, SubTreeFileSystem

    path = table_path(lake, table)
    if is_local(lake):
        return SubTreeFileSystem(path, LocalFileSystem())
    from deltalake.fs import DeltaStorageHandler

    return PyFileSystem(DeltaStorageHandler(path))


@contextmanager
def new_files(lake: str, table: Table) -> Iterator[DataFileWriter]:
    """Give a writer of files that no version of a table has yet; if the block fails, it removes
    them.
    """
    with translated(lake, table), DataFileWriter(table_files(lake, table), table) as writer:
        yield writer


def open_table(lake: str, table: Table, version: int | None = None) -> LakeTable:
    """Open a table, at its newest version or an older one. Raise ConfigError if it does not exist;
    the message names the verb that writes it first.
    """
    opened = open_or_none(lake, table, version)
    if opened is None:
        raise missing_table(lake, table)
    return opened


def open_or_none(lake: str, table: Table, version: int | None = None) -> LakeTable | None:
    """Open a table; return None if it does not exist. Raise ConfigError if a commit is lost, or if
    the table is of an older version.
    """
    opened = open_of_any_version(lake, table, version)
    if opened is not None and opened.is_outdated():
        raise ConfigError(
            f"{table_path(lake, table)} is of an older version of truetape; stop what "
            "writes this lake and run `truetape lake upgrade`"
        )
    return opened


def open_of_any_version(lake: str, table: Table, version: int | None = None) -> LakeTable | None:
    """Open a table as `open_or_none` does, also one of an older version of truetape."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    require_sound(lake, table)
    with translated(lake, table):
        try:
            return LakeTable(lake, table, DeltaTable(table_path(lake, table), version=version))
        except TableNotFoundError:
            return None


def ensure_table(lake: str, table: Table) -> None:
    """Create an empty table if it does not exist; safe to repeat."""
    from deltalake import DeltaTable, Schema

    from truetape.lake.schemas import SCHEMAS

    require_sound(lake, table)
    with translated(lake, table):
        DeltaTable.create(
            table_path(lake, table),
            Schema.from_arrow(SCHEMAS[table]),
            mode="ignore",
            partition_by=_partitions(table),
        )


def require_sound(lake: str, table: Table) -> None:
    """Raise ConfigError if a commit of a table is empty. A table that does not exist is sound.

    Behind a URL only the newest commit is looked at: a listing costs a request for each thousand
    commits, and an object store writes an object whole or not at all.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    if is_local(lake):
        require_sound_log(lake, table)
        return
    with translated(lake, table):
        try:
            opened = DeltaTable(table_path(lake, table))
        except TableNotFoundError:
            return
        if not opened.history(1):
            number = opened.version()
            raise damaged(lake, table, f"its commit {number} is empty, so what it changed is lost")


@contextmanager
def translated(lake: str, table: Table) -> Iterator[None]:
    """Raise what a library raises about a table's files as an error of truetape.

    A lost race, a table that does not exist and rows of another schema are left to the caller.
    """
    from deltalake.exceptions import (
        CommitFailedError,
        DeltaError,
        SchemaMismatchError,
        TableNotFoundError,
    )
    from pyarrow.lib import ArrowInvalid

    try:
        yield
    except (CommitFailedError, SchemaMismatchError):
        raise
    except (TableNotFoundError, ArrowInvalid) as error:
        # ArrowInvalid is a cut Parquet file, or a condition that does not fit the columns
        if refused := storage_error(error, table_path(lake, table)):
            raise refused from error
        if isinstance(error, ArrowInvalid) and "parquet" in str(error).lower():
            raise table_error(lake, table, error) from error
        raise
    except (DeltaError, OSError) as error:
        raise table_error(lake, table, error) from error


def missing_table(lake: str, table: Table) -> ConfigError:
    """Return the error for a table that does not exist."""
    verb = _WRITERS.get(table, "recompute")
    return ConfigError(f"no table {table_path(lake, table)}; run `truetape {verb}` first")


def read_rows(
    lake: str,
    table: Table,
    filters: Filters | None = None,
    columns: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of a table; none if the table does not exist."""
    opened = open_or_none(lake, table)
    return [] if opened is None else list(opened.rows(filters, columns).to_pylist())


def expected_types(table: Table) -> dict[str, str]:
    """Return the types of the columns that a table should have; see `LakeTable.column_types`."""
    from deltalake import Schema

    from truetape.lake.schemas import SCHEMAS

    return _type_names(Schema.from_arrow(SCHEMAS[table]))


def append_rows(lake: str, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows; see `append_table`."""
    append_table(lake, table, _arrow(table, rows))


def append_table(lake: str, table: Table, rows: "pyarrow.Table") -> None:
    """Append rows in one commit; writes nothing without rows. Creates the table if it does not
    exist, and adds the columns that an older table lacks.
    """
    from deltalake import write_deltalake

    if rows.num_rows:
        opened = open_or_none(lake, table)
        with translated(lake, table):
            write_deltalake(
                table_path(lake, table) if opened is None else opened._delta,
                rows,
                mode="append",
                schema_mode="merge",
                partition_by=_partitions(table),
            )


def replace_rows(lake: str, table: Table, rows: Iterable[Mapping[str, Any]], where: str) -> None:
    """Replace all rows that satisfy an SQL condition by these, in one commit. Creates the table if
    it does not exist. Raise TransientError if another writer changed the same rows first.
    """
    from deltalake import write_deltalake

    path = table_path(lake, table)
    opened = open_or_none(lake, table)
    with translated(lake, table), first_to_commit(path):
        write_deltalake(
            path if opened is None else opened._delta,
            _arrow(table, rows),
            mode="overwrite",
            predicate=where,
            schema_mode="merge",
            partition_by=_partitions(table),
        )


def delete_rows(lake: str, table: Table, where: str) -> int:
    """Delete the rows that satisfy an SQL condition; return how many there were.

    Retried when other writers commit meanwhile. Raise TransientError after MAX_TRIES tries.
    """
    from deltalake.exceptions import CommitFailedError

    for _ in range(MAX_TRIES):
        try:
            return open_table(lake, table).delete(where)
        except CommitFailedError:
            continue
    path = table_path(lake, table)
    raise TransientError(f"{path}: other writers committed first {MAX_TRIES} times; run it again")


@contextmanager
def first_to_commit(path: str) -> Iterator[None]:
    """Raise TransientError if another writer changes the same rows or files of a table first."""
    from deltalake.exceptions import CommitFailedError

    try:
        yield
    except CommitFailedError as error:
        raise lost_race(path, error) from error


def lost_race(path: str, error: object = "") -> TransientError:
    """Return the error for another writer that changed the same rows or files first."""
    reason = f": {error}" if error else ""
    return TransientError(f"{path}: another writer committed first; run it again{reason}")


def _arrow(table: Table, rows: Iterable[Mapping[str, Any]]) -> "pyarrow.Table":
    import pyarrow

    from truetape.lake.schemas import SCHEMAS

    return pyarrow.Table.from_pylist(list(rows), schema=SCHEMAS[table])


def _of_partition(session: Session) -> list[tuple[str, str, Any]]:
    """Return the filters for a session's files, with values as in Delta's log."""
    return [("venue", "=", session.venue), ("session", "=", session.date.isoformat())]


def _partitions(table: Table) -> list[str] | None:
    from truetape.lake.schemas import PARTITIONS

    return list(PARTITIONS[table]) or None


def _type_names(schema: "deltalake.Schema") -> dict[str, str]:
    def text(kind: Any) -> str:
        return f"array<{text(kind.element_type)}>" if hasattr(kind, "element_type") else kind.type

    return {field.name: text(field.type) for field in schema.fields}
