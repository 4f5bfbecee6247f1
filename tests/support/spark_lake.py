"""Sessions put into a lake by Spark, as archive and recompute do, without Kafka."""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from support.build import READ_MS
from truetape.batch.archive import raw_rows
from truetape.batch.recompute import RecomputeRules
from truetape.batch.spark.lake import Lake
from truetape.batch.spark.recompute import recompute
from truetape.feeds.contract import Contract, load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file, read
from truetape.feeds.records import Record
from truetape.host import venues
from truetape.host.profiles import load
from truetape.kernel.columns import RECORDS
from truetape.lake.tables import Table
from truetape.market.rejection import Rejected
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session, Venue

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LEAN = "lean-equity-tick"
EPOCH = date(1970, 1, 1)

_SCHEMA = pa.schema(
    [
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
        ("record_ms", pa.int64()), ("key", pa.string()), ("value", pa.binary()),
        ("feed", pa.string()), ("received_ns", pa.int64()),
    ]
)  # fmt: skip


def archived(spark: "SparkSession", lake: str, records: Iterable[Record]) -> None:
    """Write records to a new `raw` as one partition of Kafka, from offset 0."""
    wanted = list(records)
    rows = [
        {
            "topic": "trades",
            "partition": 0,
            "offset": offset,
            "record_ms": one.received_ns // 1_000_000,
            "key": one.key,
            "value": one.payload,
            "feed": one.feed,
            "received_ns": one.received_ns,
        }
        for offset, one in enumerate(wanted)
    ]
    file = Path(lake) / "records.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), file)
    contracts = [load_contract(name) for name in {one.feed for one in wanted}]
    frame = raw_rows(spark.read.parquet(str(file)).repartition(4), contracts, Limits())
    Lake(lake).ensure(spark, Table.RAW)
    frame.write.format("delta").mode("append").save(Lake(lake).path(Table.RAW))


def stage(path: Path, feed: Contract, folder: Path, read_ms: int) -> None:
    """Write the records of a trade file as Parquet, with the columns that the decoder reads."""
    rows = [
        {
            "topic": str(path), "partition": 0, "offset": record.line, "record_ms": read_ms,
            "key": record.key, "value": record.payload, "feed": feed.feed,
            "received_ns": record.received_ns, "day": record.day,
        }
        for record in read(path, feed)
    ]  # fmt: skip
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDS), folder / "records.parquet")


def recomputed(spark: "SparkSession", lake: str, session: Session, profile: str) -> None:
    """Recompute one session by the rules of production."""
    rules = RecomputeRules(load(profile), venues.venues(), lateness_ns=60 * SECOND_NS)
    recompute(spark, Lake(lake), session, rules)


def page(path: Path, feed: str) -> Record:
    """Return one answer of a REST feed, received when its last trade was."""
    [(payload, items)] = decode_file(path, load_contract(feed), Limits(), READ_MS)
    events = [item for item in items if not isinstance(item, Rejected)]
    return Record(payload.payload, feed, "", max(event.received_ns for event in events))


def lean_ticks(paths: Sequence[Path], venue: Venue) -> list[Record]:
    """Return LEAN's ticks in order, each received when it traded: its first field says when."""
    found = [
        Record(one.payload, LEAN, one.key or "", midnight_ns + milliseconds * 1_000_000)
        for path in paths
        for one in read(path, load_contract(LEAN))
        for midnight_ns in [venue.midnight_ns(one.day or EPOCH)]
        for milliseconds in [int(one.payload.split(b",", 1)[0])]
    ]
    return sorted(found, key=lambda record: record.received_ns)
