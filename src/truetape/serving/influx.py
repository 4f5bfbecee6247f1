"""The bar store on InfluxDB 2: writes line protocol, reads by InfluxQL.

Keeps no state between calls except connections and counters. Does not decide which bars are final.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host import secret_files
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Secret, Settings
from truetape.market.resolution import Resolution
from truetape.serving import bar_table, indicator_table, influx_buckets, influxql, lines, rollups
from truetape.serving.buckets import Bucket, Buckets, check_retention
from truetape.serving.digest import digest_statements, final_statement
from truetape.serving.http import InfluxHttp
from truetape.serving.influxql import Select, select_around, select_rows
from truetape.serving.line_table import BARS, INDICATORS, Shape, checked, table_lines
from truetape.serving.row_keys import KEY
from truetape.serving.schema import BAR, INDICATOR, PIPELINE, Measurement
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
from truetape.serving.writer import Batch, LineWriter

MAX_FOLDED_ROWS = 250_000
"""Most rows whose digests one query computes, unless a symbol has more: a second's work."""


class InfluxStore:
    """A `BarStore` on one InfluxDB server and one set of buckets."""

    def __init__(
        self,
        server: InfluxHttp,
        buckets: Buckets,
        *,
        max_batch_lines: int = 5_000,
        now_ns: Callable[[], int] = time.time_ns,
        before_post: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._buckets = buckets
        self._max_batch_lines = max_batch_lines
        self._now_ns = now_ns
        self._checking = threading.Lock()
        self._unlocked_before_post = before_post

    @classmethod
    def from_settings(
        cls, settings: Settings, buckets: Buckets, before_post: Callable[[], None] = lambda: None
    ) -> Self:
        """Build the store of `settings`; contacts no server. Raise ConfigError without a token.

        See `backends.open_store` for `before_post`.
        """
        server = InfluxHttp(
            settings.influx_url,
            settings.influx_org,
            _token(settings),
            timeout_s=settings.write_timeout_s,
            attempts=settings.write_attempts,
            token_source=f"{settings.influx_token_file} (TRUETAPE_INFLUX_TOKEN_FILE)",
        )
        return cls(
            server, buckets, max_batch_lines=settings.max_batch_lines, before_post=before_post
        )

    @property
    def traffic(self) -> Traffic:
        """Return the traffic of this store; see `BarStore.traffic`."""
        return self._server.traffic

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        """Store bars; see `BarStore.write`."""
        bucket, rows = self._buckets.bars[resolution], list(bars)
        check_retention(self._buckets, bucket, (row.start_ns for row in rows), self._now_ns())

        def stored(batch: Sequence[ServedBar]) -> set[str]:
            symbols, times = (row.symbol for row in batch), (row.start_ns for row in batch)
            return _texts(lines.bar, self._bars([select_around(bucket, BAR, symbols, times)]))

        return self._write_rows(bucket, rows, lines.bar, stored)

    def write_table(
        self, resolution: Resolution, bars: pa.Table, fields: Sequence[str] = BARS.fields
    ) -> WriteReport:
        """Store fields of bars; see `BarStore.write_table`."""
        bucket = self._buckets.bars[resolution]
        self._check_retention(bucket, bars)
        return self._write_table(bucket, BARS, bars, fields)

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
        rows = RowFilter(start_ns, end_ns, venue, symbols)
        return self._bars(influxql.select_by_symbols(bucket, BAR, rows))

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
        bucket = self._buckets.bars[resolution]
        rows = RowFilter(start_ns, end_ns, venue, symbols)
        selects = influxql.select_by_symbols(bucket, BAR, rows)
        return bar_table.concat(list(self._tables(selects, bar_table.SCHEMA)))

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
        bucket = self._buckets.bars[resolution]
        end = lines.TIMES.stop if end_ns is None else end_ns
        select = select_rows(bucket, BAR, RowFilter(lines.TIMES.start, end, venue, [symbol]))
        bars: list[ServedBar] = []
        for tags, start in influxql.last_starts(self._server, select, count).items():
            where = {"symbol": [symbol], "venue": [tags[1]]}
            bars += list(self._bars([replace(select, start_ns=start, where=where)]))[-count:]
        return bars

    def symbols(self, resolution: Resolution) -> list[str]:
        """Return every symbol that has bars; see `BarStore.symbols`."""
        bucket = self._buckets.bars[resolution]
        return influxql.tag_values(self._server, bucket.name, BAR.name, "symbol")

    def digests(
        self,
        resolution: Resolution,
        venue: str,
        start_ns: int,
        end_ns: int,
        *,
        symbols: Sequence[str] | None = None,
    ) -> dict[str, Digest]:
        """Return digests, which the server computes by queries of bounded cost; see
        `BarStore.digests`.
        """
        bucket = self._buckets.bars[resolution]
        rows = RowFilter(start_ns, end_ns, venue, symbols)
        digests: dict[str, Digest] = {}
        for select in influxql.select_by_symbols(bucket, BAR, rows):
            for part in influxql.split(self._server, select, MAX_FOLDED_ROWS):
                digests |= self._digests(part)
        return digests

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
        bucket = self._buckets.bars[resolution]
        rows = RowFilter(start_ns, end_ns, venue, symbols)
        counts: dict[str, int] = {}
        for select in influxql.select_by_symbols(bucket, BAR, rows):
            statement = final_statement(influxql.conditions(select))
            (series,) = influxql.query(self._server, select.bucket, statement)
            counts |= {item["tags"]["symbol"]: int(item["values"][0][1]) for item in series}
        return counts

    def _digests(self, select: Select) -> dict[str, Digest]:
        answers = influxql.query(
            self._server, select.bucket, digest_statements(influxql.conditions(select))
        )
        sums, final, void, batch, fingerprints = (
            {item["tags"]["symbol"]: item["values"][0][1:] for item in series} for series in answers
        )
        return {
            symbol: Digest(
                bars=int(numbers[0]),
                trades=int(numbers[1]),
                seq=int(numbers[2]),
                rev_sum=int(numbers[3]),
                rev_max=int(numbers[4]),
                final=int(final.get(symbol, [0])[0]),
                void=int(void.get(symbol, [0])[0]),
                batch=int(batch.get(symbol, [0])[0]),
                fingerprint=int(fingerprints[symbol][0] or 0),
            )
            for symbol, numbers in sorted(sums.items())
        }

    def write_indicators(self, resolution: Resolution, rows: pa.Table) -> WriteReport:
        """Store indicator rows; see `BarStore.write_indicators`.

        InfluxDB keeps an old field that a new row lacks. So a row that loses a value is deleted
        before it is written again.
        """
        bucket = self._buckets.bars[resolution]
        self._check_retention(bucket, rows)
        self._delete_shrinking_rows(bucket, checked(INDICATORS, rows)[0])
        return self._write_table(bucket, INDICATORS, rows, INDICATORS.fields)

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
        rows = RowFilter(start_ns, end_ns, venue, symbols)
        for table in self._tables(
            influxql.select_by_symbols(bucket, INDICATOR, rows), indicator_table.SCHEMA
        ):
            yield from indicator_table.rows_of(table)

    def read_indicator_table(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str | None = None
    ) -> pa.Table:
        """Return indicator rows; see `BarStore.read_indicator_table`."""
        select = select_rows(
            self._buckets.bars[resolution], INDICATOR, RowFilter(start_ns, end_ns, venue)
        )
        return indicator_table.concat(list(self._tables([select], indicator_table.SCHEMA)))

    def write_points(self, points: Iterable[Point]) -> WriteReport:
        """Store points; see `BarStore.write_points`."""
        bucket, rows = self._buckets.pipeline, list(points)
        check_retention(self._buckets, bucket, (row.time_ns for row in rows), self._now_ns())

        def stored(batch: Sequence[Point]) -> set[str]:
            first, end = influxql.time_range([row.time_ns for row in batch])
            names = {row.measurement for row in batch}
            points = (point for name in names for point in self.read_points(name, first, end))
            return _texts(lines.point, points)

        return self._write_rows(bucket, rows, lines.point, stored)

    def read_points(self, measurement: str, start_ns: int, end_ns: int) -> Iterator[Point]:
        """Yield points; see `BarStore.read_points`."""
        shape = PIPELINE[measurement]
        select = select_rows(self._buckets.pipeline, shape, RowFilter(start_ns, end_ns))
        for table in influxql.read(self._server, select):
            for row in table.to_pylist():
                tags = {tag: row[tag] for tag in shape.tags}
                fields = {name: row[name] for name in shape.fields}
                yield Point(measurement, tags, row["time"], fields)

    def ensure_buckets(self) -> list[str]:
        """Create or change buckets; see `BarStore.ensure_buckets`."""
        return influx_buckets.ensure(self._server, self._buckets)

    def ensure_rollups(self) -> list[str]:
        """Create or change tasks; see `BarStore.ensure_rollups`."""
        return rollups.ensure(self._server, self._buckets)

    def await_rollups(self, within_s: float) -> None:
        """Wait for the running tasks; see `BarStore.await_rollups`."""
        rollups.await_runs(self._server, self._buckets, within_s)

    def ping(self) -> float:
        """Write a canary and read it back; `/health` answers OK even if neither works."""
        started = time.monotonic()
        nonce, now = secrets.randbelow(2**62), self._now_ns()
        report = self.write_points([Point("canary", {"writer": "ping"}, now, {"nonce": nonce})])
        nonces = [point.fields["nonce"] for point in self.read_points("canary", now, now + 1)]
        if report.rejected or nonces != [nonce]:
            raise TransientError(
                f"InfluxDB at {self._server.url} accepted a canary and lost it: {report}"
            )
        return time.monotonic() - started

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _before_post(self) -> None:
        """Call the check of the caller, from one thread at a time."""
        with self._checking:
            self._unlocked_before_post()

    def _check_retention(self, bucket: Bucket, rows: pa.Table) -> None:
        times = rows.column("start_ns").to_numpy()
        oldest = times.min(keepdims=True).tolist() if len(times) else []
        check_retention(self._buckets, bucket, oldest, self._now_ns())

    def _write_rows(
        self,
        bucket: Bucket,
        rows: Sequence[Row],
        encode: Callable[[Row], str | DeadLine],
        stored: Callable[[Sequence[Row]], set[str]],
    ) -> WriteReport:
        """Write rows in order, of which a later one may replace an earlier one."""

        def batches() -> Iterator[Batch]:
            for start in range(0, len(rows), self._max_batch_lines):
                part = rows[start : start + self._max_batch_lines]
                texts = list(map(encode, part))
                yield Batch(
                    [text for text in texts if isinstance(text, str)],
                    [text for text in texts if isinstance(text, DeadLine)],
                    partial(stored, part),
                )

        return LineWriter(self._server, bucket.name, self._before_post).write(batches())

    def _write_table(
        self, bucket: Bucket, shape: Shape, table: pa.Table, fields: Sequence[str]
    ) -> WriteReport:
        if not len(table):
            return WriteReport(0, 0)

        def batch(start: int) -> Batch:
            part, dead = checked(shape, table.slice(start, self._max_batch_lines))
            stored = partial(self._stored_lines, bucket, shape, part, fields)
            return Batch(table_lines(shape, part, fields), dead, stored)

        starts = range(0, len(table), self._max_batch_lines)
        writer = LineWriter(self._server, bucket.name, self._before_post)
        return writer.write_at_once([partial(batch, start) for start in starts])

    def _stored_lines(
        self, bucket: Bucket, shape: Shape, rows: pa.Table, fields: Sequence[str]
    ) -> set[str]:
        """Read rows back; return the lines of these fields."""
        around = _around(bucket, shape.measurement, rows)
        return {
            line
            for table in self._tables([around], rows.schema)
            for line in table_lines(shape, table, fields)
        }

    def _bars(self, selects: Iterable[Select]) -> Iterator[ServedBar]:
        for table in self._tables(selects, bar_table.SCHEMA):
            yield from bar_table.bars_of(table)

    def _tables(self, selects: Iterable[Select], schema: pa.Schema) -> Iterator[pa.Table]:
        for select in selects:
            for table in influxql.read(self._server, select):
                columns = [
                    table.column("time" if name == "start_ns" else name) for name in schema.names
                ]
                yield pa.Table.from_arrays(columns, schema=schema)

    def _delete_shrinking_rows(self, bucket: Bucket, rows: pa.Table) -> None:
        """Delete the stored rows that have a value which their new row lacks."""
        if not len(rows):
            return
        around = _around(bucket, INDICATOR, rows)
        stored = indicator_table.concat(list(self._tables([around], indicator_table.SCHEMA)))
        shrinking = [
            replace(
                around,
                start_ns=old["start_ns"],
                end_ns=old["start_ns"] + 1,
                where={"symbol": [old["symbol"]], "venue": [old["venue"]]},
            )
            for old in indicator_table.shrinking(stored, rows).select(KEY).to_pylist()
        ]
        if shrinking:
            self._before_post()
            influxql.delete(self._server, bucket.name, shrinking)


def _around(bucket: Bucket, measurement: Measurement, rows: pa.Table) -> Select:
    """Select the time range and the symbols of rows."""
    symbols = map(str, pc.unique(rows.column("symbol")).to_pylist())
    return select_around(bucket, measurement, symbols, rows.column("start_ns").to_numpy().tolist())


def _texts(encode: Callable[[Row], str | DeadLine], rows: Iterable[Row]) -> set[str]:
    return {text for text in map(encode, rows) if isinstance(text, str)}


def _token(settings: Settings) -> Secret:
    token = secret_files.read(settings.influx_token_file)
    if token is None:
        raise ConfigError(
            f"no InfluxDB token: {settings.influx_token_file} does not exist; run truetape stack "
            "up, set TRUETAPE_INFLUX_TOKEN_FILE, or set TRUETAPE_STORE=embedded to do without "
            "InfluxDB"
        )
    return token
