"""Opens, reads, appends, replaces and deletes: the only module that uses deltalake.

Knows the columns of each table (`schemas`), not their meaning. Works on Delta's files, without
Spark.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from truetape.host.errors import ConfigError, TransientError
from truetape.lake.tables import Filters, Table, table_path

if TYPE_CHECKING:
    import deltalake
    import pyarrow

    DeltaTable: TypeAlias = deltalake.DeltaTable

MAX_TRIES = 5
"""How often a delete is tried when other writers commit meanwhile."""

_WRITERS: Mapping[Table, str] = {
    Table.RAW: "archive",
    Table.COVERAGE: "archive",
    Table.DIRTY: "archive",
    Table.SUPERSEDED: "publish",
    Table.DRIFT: "publish",
    Table.PUBLICATIONS: "publish",
}
"""The verb that writes a table first; `recompute` for all others."""


def open_table(lake: str, table: Table, version: int | None = None) -> "DeltaTable":
    """Open a table, at its newest version or an older one. Raise ConfigError if it does not exist;
    the message names the verb that writes it first.
    """
    opened = open_or_none(lake, table, version)
    if opened is None:
        raise missing_table(lake, table)
    return opened


def open_or_none(lake: str, table: Table, version: int | None = None) -> "DeltaTable | None":
    """Open a table; return None if it does not exist."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(table_path(lake, table), version=version)
    except TableNotFoundError:
        return None


def table_id(table: "DeltaTable") -> str:
    """Return the id that Delta gave a table when it was created."""
    return str(table.metadata().id)  # deltalake declares it as int; it is a UUID's text


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
    if opened is None:
        return []
    names = None if columns is None else list(columns)
    rows: pyarrow.Table = opened.to_pyarrow_table(filters=filters, columns=names)
    return list(rows.to_pylist())


def column_types(table: "DeltaTable") -> dict[str, str]:
    """Return the type of each column as Delta spells it, for example `decimal(18,9)`."""
    return _type_names(table.schema())


def expected_types(table: Table) -> dict[str, str]:
    """Return the same for the schema that a table should have."""
    from deltalake import Schema

    from truetape.lake.schemas import SCHEMAS

    return _type_names(Schema.from_arrow(SCHEMAS[table]))


def append_rows(lake: str, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows in one commit; writes nothing without rows. Creates the table if it does not
    exist, and adds the columns that an older table lacks.
    """
    from deltalake import write_deltalake

    arrow = _arrow(table, rows)
    if arrow.num_rows:
        path = table_path(lake, table)
        write_deltalake(
            path, arrow, mode="append", schema_mode="merge", partition_by=_partitions(table)
        )


def replace_rows(lake: str, table: Table, rows: Iterable[Mapping[str, Any]], where: str) -> None:
    """Replace all rows that satisfy an SQL condition by these, in one commit. Creates the table if
    it does not exist. Raise TransientError if another writer changed the same rows first.
    """
    from deltalake import write_deltalake

    path = table_path(lake, table)
    with first_to_commit(path):
        write_deltalake(
            path,
            _arrow(table, rows),
            mode="overwrite",
            predicate=where,
            partition_by=_partitions(table),
        )


def delete_rows(lake: str, table: Table, where: str) -> int:
    """Delete the rows that satisfy an SQL condition; return how many there were.

    Retried when other writers commit meanwhile. Raise TransientError after MAX_TRIES tries.
    """
    from deltalake.exceptions import CommitFailedError

    for _ in range(MAX_TRIES):
        try:
            return int(open_table(lake, table).delete(where)["num_deleted_rows"])
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
        raise TransientError(
            f"{path}: another writer committed first; run it again: {error}"
        ) from error


def _arrow(table: Table, rows: Iterable[Mapping[str, Any]]) -> "pyarrow.Table":
    import pyarrow

    from truetape.lake.schemas import SCHEMAS

    return pyarrow.Table.from_pylist(list(rows), schema=SCHEMAS[table])


def _partitions(table: Table) -> list[str] | None:
    from truetape.lake.schemas import PARTITIONS

    return list(PARTITIONS[table]) or None


def _type_names(schema: "deltalake.Schema") -> dict[str, str]:
    def text(kind: Any) -> str:
        return f"array<{text(kind.element_type)}>" if hasattr(kind, "element_type") else kind.type

    return {field.name: text(field.type) for field in schema.fields}
