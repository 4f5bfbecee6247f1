"""The engine: DuckDB inside this process, one connection a thread. The only importer of duckdb."""

import threading
import warnings
from collections.abc import Mapping

import duckdb
import pyarrow as pa

_local = threading.local()
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
        rows = connection.execute(sql).to_arrow_table()
        assert rows is not None, "a SELECT has rows"  # noqa: S101 - for the types
        return rows
    finally:
        for name in tables:
            connection.unregister(name)


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
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connections[threads] = connection
    return connections[threads]
