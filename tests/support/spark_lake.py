"""Sessions put into a lake by Spark, as archive and recompute do, without Kafka."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from truetape import venues
from truetape.batch.archive import raw_rows
from truetape.batch.lake import Lake, Table
from truetape.batch.recompute import Rules, recompute
from truetape.feeds import contract
from truetape.feeds.decoded import decoded
from truetape.feeds.decoder import Limits
from truetape.feeds.simulator import Record
from truetape.market.rejection import Rejected
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.profiles import load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = (
    "topic string, partition int, offset bigint, record_ms bigint, key string, value binary, "
    "feed string, received_ns bigint"
)


def archived(spark: "SparkSession", lake: str, records: Iterable[Record]) -> None:
    """Append records to `raw` as one partition of Kafka, from offset 0."""
    wanted = list(records)
    rows = [
        ("trades", 0, offset, 0, one.key, bytearray(one.payload), one.feed, one.received_ns)
        for offset, one in enumerate(wanted)
    ]
    contracts = [contract.load(name) for name in {one.feed for one in wanted}]
    frame = raw_rows(spark.createDataFrame(rows, COLUMNS), contracts, Limits())
    Lake(lake).ensure(spark, Table.RAW)
    frame.write.format("delta").mode("append").save(Lake(lake).path(Table.RAW))


def recomputed(spark: "SparkSession", lake: str, session: Session, profile: str) -> None:
    """Recompute one session by the rules of production."""
    rules = Rules(load(profile), venues.venues(), lateness_ns=60 * SECOND_NS)
    recompute(spark, Lake(lake), session, rules)


def records_of(paths: Sequence[Path], feed: str) -> list[Record]:
    """Return the payloads of trade files as a replay sends them: received when they traded."""
    found = [record for path in paths for record in _records(path, feed)]
    return sorted(found, key=lambda record: record.received_ns)


def _records(path: Path, feed: str) -> Iterator[Record]:
    latest = 0
    for payload, items in decoded(path, contract.load(feed), Limits()):
        events = [item for item in items if not isinstance(item, Rejected)]
        latest = max((event.received_ns for event in events), default=latest)
        key = payload.key or (events[0].symbol if events else "")
        yield Record(payload.payload, feed, key, latest)
