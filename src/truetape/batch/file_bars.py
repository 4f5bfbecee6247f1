"""Bars straight from trade files, by the reference or by Spark. Uses no server and no lake."""

import csv
import io
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from truetape.feeds import files
from truetape.feeds.contract import Contract, load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.feeds.native import iso
from truetape.host import calendars, profiles, venues
from truetape.host.settings import Settings
from truetape.market.bars import Bar
from truetape.market.bars import bars as fold
from truetape.market.canonical import canonical
from truetape.market.rejection import Rejected
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Event

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = (
    "symbol", "venue", "resolution", "start", "open", "high", "low", "close",
    "volume", "vwap", "trades",
)  # fmt: skip
_RECORDS_PER_CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class FileFold:
    """The request: which files to fold, and how. `read_ms`: the time of reading."""

    files: tuple[Path, ...]
    feed: str
    resolution: Resolution
    profile: str
    symbol: str | None
    as_of_ns: int | None
    settings: Settings
    read_ms: int


@dataclass(frozen=True, slots=True)
class FoldedFiles:
    """The result: served bars by symbol, venue and start, and the counts of all records."""

    bars: list[Bar]
    accepted: int
    reasons: Mapping[str, int]

    @property
    def rejected(self) -> int:
        """Return the number of records that do not fit the contract."""
        return sum(self.reasons.values())

    @property
    def received(self) -> int:
        """Return the number of records in the files."""
        return self.accepted + self.rejected


def reference(request: FileFold) -> FoldedFiles:
    """Fold with the reference: one process, all trades in memory (about 1 kB each)."""
    feed = load_contract(request.feed)
    limits = Limits.of(request.settings)
    events: list[Event] = []
    reasons: Counter[str] = Counter()
    for path in request.files:
        for _, items in decode_file(path, feed, limits, request.read_ms):
            reasons.update(item.reason for item in items if isinstance(item, Rejected))
            events += [item for item in items if not isinstance(item, Rejected)]
    known = venues.venues()
    settled = canonical(events, known, request.as_of_ns).trades
    chosen = [item for item in settled if request.symbol in (None, item.trade.symbol)]
    held = {(item.trade.venue, item.trade.event_ns) for item in chosen}
    sessions = _sessions(held) if request.resolution is Resolution.DAY else {}
    found = fold(chosen, profiles.load(request.profile), request.resolution, sessions)
    return FoldedFiles([bar for bar in found if bar.is_served], len(events), reasons)


def spark(request: FileFold) -> FoldedFiles:
    """Fold with Spark: decoding and aggregation in the JVM, memory bounded by Spark's settings."""
    from truetape.batch.spark.session import spark_session

    session = spark_session("truetape bars", request.settings, [])
    with tempfile.TemporaryDirectory(prefix="truetape-bars-") as folder:
        return _spark_outcome(session, request, Path(folder))


def lines(bars: Iterable[Bar], style: str) -> Iterator[str]:
    """Format bars as CSV with a header, or as JSON lines; numbers are exact decimal text."""
    if style == "csv":
        yield ",".join(COLUMNS)
    for bar in bars:
        fields = _fields(bar)
        if style == "csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow(fields)
            yield text.getvalue()
        else:
            yield json.dumps(dict(zip(COLUMNS, fields, strict=True)))


def _fields(bar: Bar) -> list[str | int]:
    prices = [
        _exact(price) for price in (bar.open, bar.high, bar.low, bar.close) if price is not None
    ]
    return [
        bar.symbol,
        bar.venue,
        bar.resolution.value,
        iso(bar.start_ns),
        *prices,
        _exact(bar.volume),
        "" if bar.vwap is None else _exact(bar.vwap),
        bar.trades,
    ]


def _exact(value: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sessions(held: Iterable[tuple[str, int]]) -> dict[str, list[Session]]:
    """Return the sessions of the given instants, by venue."""
    known = venues.venues()
    days: dict[str, set[object]] = {}
    found: dict[str, list[Session]] = {}
    for code, instant in held:
        day = known[code].date_of(instant)
        if day not in days.setdefault(code, set()):
            days[code].add(day)
            found.setdefault(code, []).extend(calendars.sessions(known[code], day, day))
    return found


def _spark_outcome(session: "SparkSession", request: FileFold, folder: Path) -> FoldedFiles:
    from pyspark.sql import functions as F

    from truetape.batch.spark.canonical import canonical as settle
    from truetape.lake.events import event_of

    events, reasons = _spark_events(session, request, folder)
    if request.as_of_ns is not None:
        events = events.where(F.col("received_ns") <= request.as_of_ns)
    accepted = events.count()
    trades = events.where("kind = 'trade'")
    amendments = [
        event
        for row in events.where("kind <> 'trade'").collect()
        for event in [event_of(row.asDict())]
    ]
    settled = settle(trades, amendments, venues.venues())  # type: ignore[arg-type] # no trades
    chosen = settled if request.symbol is None else settled.where(F.col("symbol") == request.symbol)
    held = chosen.select("venue", "session").distinct().collect()
    found: list[Bar] = []
    for row in held:
        found += _session_bars(chosen, row.venue, row.session, request)
    found.sort(key=lambda bar: (bar.symbol, bar.venue, bar.start_ns))
    return FoldedFiles(found, accepted, reasons)


def _session_bars(trades: "DataFrame", venue: str, day: date, request: FileFold) -> list[Bar]:
    from pyspark.sql import functions as F

    from truetape.batch.recompute import in_day, session_bars
    from truetape.batch.spark.eligibility import judge

    profile = profiles.load(request.profile)
    session = calendars.sessions(venues.venues()[venue], day, day)[0]
    own = trades.where((F.col("venue") == venue) & (F.col("session") == F.lit(day)))
    flagged = judge(own, profile).withColumn("in_day", in_day(session))
    rows = session_bars(flagged, session, profile).where(
        F.col("served") & (F.col("resolution") == request.resolution.value)
    )
    return [
        Bar(
            row.symbol, row.venue, request.resolution, row.start_ns,
            row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades,
        )
        for row in rows.collect()
    ]  # fmt: skip


def _spark_events(
    session: "SparkSession", request: FileFold, folder: Path
) -> "tuple[DataFrame, Mapping[str, int]]":
    """Decode the files in Spark; return one row an event, and the number of rejections by
    reason.
    """
    from pyspark.sql import functions as F

    from truetape.batch.spark.decoder import decode as spark_decode

    feed = load_contract(request.feed)
    stage(request.files, feed, folder / "records", request.read_ms)
    records = session.read.parquet(str(folder / "records"))
    decoded = spark_decode(records, [feed], Limits.of(request.settings)).persist()
    refused = decoded.select(F.explode("rejected").alias("why")).groupBy("why.reason").count()
    place = ("topic", "partition", "offset", "feed")
    exploded = decoded.select(*place, F.explode("events").alias("event"))
    reasons = {row.reason: row["count"] for row in refused.collect()}
    return exploded.select(*place, "event.*"), reasons


def stage(paths: Iterable[Path], feed: Contract, folder: Path, read_ms: int) -> None:
    """Write the records of files as Parquet, with the columns that the Spark decoder reads.

    `read_ms`: the time of reading.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, pa.DataType] = {
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "record_ms": pa.int64(),
        "key": pa.string(),
        "value": pa.binary(),
        "feed": pa.string(),
        "received_ns": pa.int64(),
        "day": pa.date32(),
    }
    schema = pa.schema(columns)
    folder.mkdir(parents=True)
    rows = _staged(paths, feed, read_ms)
    for number in itertools.count():
        chunk = list(itertools.islice(rows, _RECORDS_PER_CHUNK))
        if not chunk and number:
            return
        table = pa.Table.from_pylist(chunk, schema=schema)
        pq.write_table(table, folder / f"part-{number:06d}.parquet")


def _staged(paths: Iterable[Path], feed: Contract, read_ms: int) -> Iterator[dict[str, object]]:
    for path in paths:
        for record in files.read(path, feed):
            yield {
                "topic": str(path),
                "partition": 0,
                "offset": record.line,
                "record_ms": read_ms,
                "key": record.key,
                "value": record.payload,
                "feed": feed.feed,
                "received_ns": record.received_ns,
                "day": record.day,
            }
