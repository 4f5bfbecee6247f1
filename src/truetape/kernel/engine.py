"""The engine: DuckDB inside this process, one connection a thread. The only importer of duckdb."""

import threading
import warnings
from collections.abc import Mapping

import duckdb
import pyarrow as pa

_local = threading.local()
_MAX_PREPARED = 64
"""Most prepared queries of a thread; a process has a few for each contract that it reads."""
# `execute` plans a query once and `sql` twice, which costs more than the copy that is warned of
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)


def query(sql: str, tables: Mapping[str, pa.Table], threads: int = 1) -> pa.Table:
    """Return the rows of a query over Arrow tables, in the order of the rows that they come from.

    `threads`: how many threads DuckDB uses for it; this thread is one of them.
    """
    connection = _connection(threads)
    for name, table in tables.items():
        connection.register(name, table)
    try:
        return _rows(connection, sql)
    finally:
        for name in tables:
            connection.unregister(name)


def query_prepared(sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return what `query` does; plan the query once in each thread and schema of the tables.

    For queries that run again and again on few rows, where the plan costs more than the rows. The
    plan knows nothing of the number of rows, so it is not for joins of large tables.
    """
    plans: dict[_Key, _Prepared] = _local.__dict__.setdefault("prepared", {})
    key = (sql, tuple((name, table.schema) for name, table in tables.items()))
    if key not in plans:
        if len(plans) >= _MAX_PREPARED:
            del plans[next(iter(plans))]
        plans[key] = _Prepared(sql, tables)
    return plans[key].rows(tables)


_Key = tuple[str, tuple[tuple[str, pa.Schema], ...]]


class _Prepared:
    """A planned query and the tables that it reads, on a connection of its own."""

    def __init__(self, sql: str, tables: Mapping[str, pa.Table]) -> None:
        self._connection = _connection(1).cursor()
        self._connection.execute(_SETTINGS)
        self._inputs = {name: _Input(table.schema) for name, table in tables.items()}
        for name, read in self._inputs.items():
            self._connection.register(name, read)
        self._connection.execute(f"PREPARE planned AS {sql}")

    def rows(self, tables: Mapping[str, pa.Table]) -> pa.Table:
        for name, table in tables.items():
            self._inputs[name].table = table
        try:
            return _rows(self._connection, "EXECUTE planned")
        finally:
            for read in self._inputs.values():
                read.table = None


class _Input:
    """A table that can be exchanged under a plan: DuckDB asks for its rows at each execution."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self.table: pa.Table | None = None

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        table = self._schema.empty_table() if self.table is None else self.table
        return table.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]


_SETTINGS = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"


def _connection(threads: int) -> duckdb.DuckDBPyConnection:
    """Return this thread's connection. Nothing outside of the process is read or loaded."""
    connections: dict[int, duckdb.DuckDBPyConnection] = _local.__dict__.setdefault("open", {})
    if threads not in connections:
        connection = duckdb.connect(
            config={
                "threads": threads,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "enable_external_access": False,
            }
        )
        connection.execute(_SETTINGS)
        connections[threads] = connection
    return connections[threads]


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    rows = connection.execute(sql).to_arrow_table()
    assert rows is not None, "a query has rows"  # noqa: S101 - for the types
    return rows
