"""The bar store in one SQLite file, for a machine without InfluxDB and for simulation.

Runs no roll-up tasks. Accepts and refuses the same rows as InfluxDB, by the same encoder; unlike
InfluxDB, it writes each row atomically.
"""

import errno
import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.host.storage import is_full, storage_error, storage_errors
from truetape.market.resolution import Resolution
from truetape.serving import bar_table, indicator_table, lines
from truetape.serving.buckets import Bucket, Buckets, check_retention
from truetape.serving.digest import digests_of
from truetape.serving.line_table import BARS, INDICATORS, checked
from truetape.serving.row_keys import KEY
from truetape.serving.schema import PIPELINE
from truetape.serving.store import (
    DeadLine,
    Digest,
    IndicatorRow,
    Point,
    Row,
    RowFilter,
    ServedBar,
    Traffic,
    WriteReport,
)

PAGE_ROWS = 10_000
BUSY_TIMEOUT_S = 10.0
FORMAT_VERSION = 1
_INSERT_BAR = f"INSERT OR REPLACE INTO bar VALUES ({', '.join('?' * 16)})"  # noqa: S608 - only question marks

_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS bar (
    bucket TEXT, symbol TEXT, venue TEXT, start_ns INTEGER,
    open REAL, high REAL, low REAL, close REAL, volume REAL, vwap REAL,
    trades INTEGER, rev INTEGER, seq INTEGER, layer TEXT, final INTEGER, void INTEGER,
    PRIMARY KEY (bucket, symbol, venue, start_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS indicator (
    bucket TEXT, symbol TEXT, venue TEXT, start_ns INTEGER, value TEXT, rev INTEGER, void INTEGER,
    PRIMARY KEY (bucket, symbol, venue, start_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS point (
    bucket TEXT, measurement TEXT, tags TEXT, start_ns INTEGER, value TEXT,
    PRIMARY KEY (bucket, measurement, tags, start_ns)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {FORMAT_VERSION};
"""


class EmbeddedStore:
    """A `BarStore` on one SQLite file; several processes may have it open."""

    def __init__(
        self, path: Path, buckets: Buckets, *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._path = path
        self._buckets = buckets
        self._now_ns = now_ns
        self._traffic = Traffic()
        self._lock = threading.Lock()
        with storage_errors(), self._sqlite_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, FORMAT_VERSION):
                raise ConfigError(
                    f"{path} has format {version}, this truetape writes {FORMAT_VERSION}; "
                    "move the file away and publish again"
                )
            self._db.executescript(_SCHEMA)

    @property
    def traffic(self) -> Traffic:
        """Return the counts of this store; a request is one statement or transaction."""
        return self._traffic

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        """Store bars; see `BarStore.write`."""
        bucket, rows = self._buckets.bars[resolution], list(bars)
        self._check(bucket, [row.start_ns for row in rows])

        def values(row: ServedBar) -> tuple[object, ...]:
            return bucket.name, *(getattr(row, name) for name in bar_table.COLUMNS)

        return self._write(_INSERT_BAR, rows, lines.bar, values)

    def write_table(
        self, resolution: Resolution, bars: pa.Table, fields: Sequence[str] = BARS.fields
    ) -> WriteReport:
        """Store fields of bars; see `BarStore.write_table`."""
        bucket = self._buckets.bars[resolution]
        self._check(bucket, bars.column("start_ns").to_numpy().tolist())
        good, dead = checked(BARS, bars)
        is_whole = set(fields) == set(BARS.fields)
        names = bar_table.COLUMNS if is_whole else (*fields, *KEY)
        columns = [good.column(name).to_pylist() for name in names]
        buckets = [bucket.name] * len(good)
        if is_whole:
            self._store(_INSERT_BAR, list(zip(buckets, *columns, strict=True)))
        else:
            changes = ", ".join(f"{name} = ?" for name in fields)
            key = " AND ".join(f"{name} = ?" for name in (*KEY, "bucket"))
            update = f"UPDATE bar SET {changes} WHERE {key}"  # noqa: S608 - names of columns only
            self._store(update, list(zip(*columns, buckets, strict=True)))
        return WriteReport(len(bars), len(good), tuple(dead))

    def read(
        self,
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> Iterator[ServedBar]:
        """Yield bars; see `BarStore.read`."""
        bucket = self._buckets.bars[resolution]
        for row in self._pages("bar", bucket, RowFilter(start_ns, end_ns, venue, symbols)):
            yield ServedBar.from_row(row[1:])

    def read_table(
        self,
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return bars; see `BarStore.read_table`."""
        return bar_table.table_of(
            self.read(resolution, start_ns, end_ns, venue=venue, symbols=symbols)
        )

    def tail(
        self,
        resolution: Resolution,
        symbol: str,
        count: int,
        *,
        venue: str | None = None,
        end_ns: int | None = None,
    ) -> list[ServedBar]:
        """Return the last bars of a symbol; see `BarStore.tail`."""
        key: list[object] = [self._buckets.bars[resolution].name, symbol]
        end = lines.TIMES.stop if end_ns is None else end_ns
        query = "SELECT DISTINCT venue FROM bar WHERE bucket = ? AND symbol = ? ORDER BY venue"
        venues = [venue] if venue else [row[0] for row in self._rows(query, key)]
        newest_first = (
            "SELECT * FROM bar WHERE bucket = ? AND symbol = ? AND venue = ? AND start_ns < ? "
            "ORDER BY start_ns DESC LIMIT ?"
        )
        bars: list[ServedBar] = []
        for code in venues:
            rows = self._counted_rows(newest_first, [*key, code, end, count])
            bars += [ServedBar.from_row(row[1:]) for row in reversed(rows)]
        return bars

    def symbols(self, resolution: Resolution) -> list[str]:
        """Return every symbol that has bars; see `BarStore.symbols`."""
        query = "SELECT DISTINCT symbol FROM bar WHERE bucket = ? ORDER BY symbol"
        return [row[0] for row in self._rows(query, [self._buckets.bars[resolution].name])]

    def digests(
        self,
        resolution: Resolution,
        venue: str,
        start_ns: int,
        end_ns: int,
        *,
        symbols: Sequence[str] | None = None,
    ) -> dict[str, Digest]:
        """Return digests; see `BarStore.digests`."""
        return digests_of(
            self.read_table(resolution, start_ns, end_ns, venue=venue, symbols=symbols)
        )

    def final_counts(
        self,
        resolution: Resolution,
        venue: str,
        start_ns: int,
        end_ns: int,
        *,
        symbols: Sequence[str] | None = None,
    ) -> dict[str, int]:
        """Return how many rows are final; see `BarStore.final_counts`."""
        bars = self.read(resolution, start_ns, end_ns, venue=venue, symbols=symbols)
        return dict(Counter(bar.symbol for bar in bars if bar.final))

    def write_indicators(self, resolution: Resolution, rows: pa.Table) -> WriteReport:
        """Store indicator rows; see `BarStore.write_indicators`."""
        bucket = self._buckets.bars[resolution]
        self._check(bucket, rows.column("start_ns").to_numpy().tolist())
        good, dead = checked(INDICATORS, rows)
        insert = "INSERT OR REPLACE INTO indicator VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._store(
            insert,
            [
                (bucket.name, *row.key, json.dumps(dict(row.values)), row.rev, row.void)
                for row in indicator_table.rows_of(good)
            ],
        )
        return WriteReport(len(rows), len(good), tuple(dead))

    def read_indicators(
        self,
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> Iterator[IndicatorRow]:
        """Yield indicator rows; see `BarStore.read_indicators`."""
        bucket = self._buckets.bars[resolution]
        for row in self._pages("indicator", bucket, RowFilter(start_ns, end_ns, venue, symbols)):
            yield IndicatorRow(row[1], row[2], row[3], json.loads(row[4]), row[5], bool(row[6]))

    def read_indicator_table(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str | None = None
    ) -> pa.Table:
        """Return indicator rows; see `BarStore.read_indicator_table`."""
        rows = self.read_indicators(resolution, start_ns, end_ns, venue=venue)
        return indicator_table.table_of(rows)

    def write_points(self, points: Iterable[Point]) -> WriteReport:
        """Store points; see `BarStore.write_points`."""
        bucket, rows = self._buckets.pipeline, list(points)
        self._check(bucket, [row.time_ns for row in rows])

        def values(row: Point) -> tuple[object, ...]:
            shape = PIPELINE[row.measurement]
            tags = json.dumps([row.tags[name] for name in shape.tags])
            numbers = {
                name: float(row.fields[name]) if kind == "float" else row.fields[name]
                for name, kind in shape.fields.items()
            }
            return bucket.name, row.measurement, tags, row.time_ns, json.dumps(numbers)

        insert = "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?, ?)"
        return self._write(insert, rows, lines.point, values)

    def read_points(self, measurement: str, start_ns: int, end_ns: int) -> Iterator[Point]:
        """Yield points; see `BarStore.read_points`."""
        names = PIPELINE[measurement].tags
        window: list[object] = [self._buckets.pipeline.name, measurement, start_ns, end_ns]
        where = "FROM point WHERE bucket = ? AND measurement = ? AND start_ns >= ? AND start_ns < ?"
        series = [row[0] for row in self._rows(f"SELECT DISTINCT tags {where}", window)]
        page = f"SELECT start_ns, value {where} AND tags = ? ORDER BY start_ns LIMIT {PAGE_ROWS}"
        for tags in sorted(series, key=json.loads):
            named = dict(zip(names, json.loads(tags), strict=True))
            first = start_ns
            while rows := self._counted_rows(page, [*window[:2], first, end_ns, tags]):
                for time_ns, text in rows:
                    yield Point(measurement, named, time_ns, json.loads(text))
                first = rows[-1][0] + 1

    def ensure_buckets(self) -> list[str]:
        """Delete rows older than the retention of their bucket, as InfluxDB does by itself."""
        changes = []
        for bucket in self._buckets.all:
            oldest = bucket.oldest_ns(self._now_ns())
            for table in ("bar", "indicator", "point"):
                delete = f"DELETE FROM {table} WHERE bucket = ? AND start_ns < ?"  # noqa: S608 - three fixed names
                if oldest is None:
                    continue
                with self._transaction() as db:
                    deleted = db.execute(delete, (bucket.name, oldest)).rowcount
                if deleted:
                    changes.append(f"removed {deleted} expired rows of {bucket.name}")
        return changes

    def ensure_rollups(self) -> list[str]:
        """Return no changes: a file runs no tasks."""
        return []

    def await_rollups(self, within_s: float) -> None:
        """Return at once: a file runs no tasks."""

    def ping(self) -> float:
        """Write a canary and read it back."""
        started, now = time.monotonic(), self._now_ns()
        point = Point("canary", {"writer": "ping"}, now, {"nonce": now})
        self.write_points([point])
        if list(self.read_points("canary", now, now + 1)) != [point]:
            raise TransientError(f"{self._path} accepted a canary and lost it; check the disk")
        return time.monotonic() - started

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _check(self, bucket: Bucket, times: list[int]) -> None:
        check_retention(self._buckets, bucket, times, self._now_ns())

    def _write(
        self,
        insert: str,
        rows: Sequence[Row],
        encode: Callable[[Row], str | DeadLine],
        values: Callable[[Row], tuple[Any, ...]],
    ) -> WriteReport:
        texts = [(encode(row), row) for row in rows]
        good = [values(row) for text, row in texts if isinstance(text, str)]
        dead = tuple(text for text, _ in texts if isinstance(text, DeadLine))
        self._store(insert, good)
        return WriteReport(len(rows), len(good), dead)

    def _store(self, statement: str, values: Sequence[tuple[object, ...]]) -> None:
        """Run a statement with the values of each row, in one transaction."""
        if not values:
            return
        with self._transaction() as db:
            db.executemany(statement, values)
        self._traffic = replace(
            self._traffic,
            requests=self._traffic.requests + 1,
            rows_written=self._traffic.rows_written + len(values),
        )

    def _pages(
        self,
        table: str,
        bucket: Bucket,
        rows: RowFilter,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows in key order, page by page; each page starts after the last key before it."""
        where = "bucket = ? AND start_ns >= ? AND start_ns < ?"
        window: list[object] = [bucket.name, rows.start_ns, rows.end_ns]
        if rows.venue is not None:
            where += " AND venue = ?"
            window = [*window, rows.venue]
        if rows.symbols is not None:
            where += " AND symbol IN (SELECT value FROM json_each(?))"
            window = [*window, json.dumps(list(rows.symbols))]
        where += " AND (symbol, venue, start_ns) > (?, ?, ?)"
        order = f"ORDER BY symbol, venue, start_ns LIMIT {PAGE_ROWS}"
        query = f"SELECT * FROM {table} WHERE {where} {order}"  # noqa: S608 - fixed names only
        after: list[object] = ["", "", 0]
        while page := self._counted_rows(query, [*window, *after]):
            yield from page
            after = list(page[-1][1:4])

    def _counted_rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run a query and count its rows as read."""
        rows = self._rows(query, values)
        self._traffic = replace(self._traffic, rows_read=self._traffic.rows_read + len(rows))
        return rows

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._sqlite_errors(), self._lock:
            rows = self._db.execute(query, values).fetchall()
        self._traffic = replace(self._traffic, requests=self._traffic.requests + 1)
        return rows

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the only write transaction: all of it is written, or nothing."""
        with self._sqlite_errors(), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _sqlite_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _sqlite_error(error, self._path) from error


def _sqlite_error(error: sqlite3.DatabaseError, path: Path) -> TruetapeError:
    """Return the error for what SQLite reports. It reports a full disk and a missing right in
    several ways, also as "unable to open" and "disk I/O error".
    """
    text = str(error)
    if refused := storage_error(text, str(path)):
        return refused
    is_refused = "unable to open" in text or "disk I/O error" in text
    if is_refused and (refused := storage_error(_refusal(path), str(path))):
        return refused
    if isinstance(error, sqlite3.OperationalError):
        return TransientError(f"{path}: {error}; run this again")
    return ConfigError(f"{path}: {error}; move the file away and publish again")


def _refusal(path: Path) -> str:
    """Return why a file could not be opened or written, as the system would say it; else ""."""
    if is_full(path):
        return os.strerror(errno.ENOSPC)
    places = [place for place in (path, path.parent) if place.exists()]
    may = all(os.access(place, os.R_OK | os.W_OK, effective_ids=True) for place in places)
    return "" if places and may else os.strerror(errno.EACCES)
