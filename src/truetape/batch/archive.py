"""The archive: every Kafka record into `raw`, once, with its coordinates and what was decoded.

Decides nothing about bars. Exactly once comes from Delta's streaming sink, which records the batch
in the same commit as its rows; a lost checkpoint resumes from the offsets that the lake already
holds.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.spark.decoder import decode
from truetape.batch.spark.fold import floor_div
from truetape.batch.spark.lake import RAW, Lake
from truetape.broker.offsets import available_offsets
from truetape.feeds.contract import Contract, contract_names, load_contract
from truetape.feeds.decoder import Limits
from truetape.host.locks import exclusive
from truetape.host.settings import Settings
from truetape.lake.coverage import count_offsets
from truetape.lake.tables import Table
from truetape.market.resolution import SECOND_NS

MAX_RECORDS_PER_BATCH = 1_000_000
RAW_WAIT_S = 1_800.0
"""How long an archive or a backfill waits for the other to end."""
_EARLIEST = -2
"""What Spark's Kafka source takes for "from the first record of this partition"."""


def archive(spark: SparkSession, settings: Settings, limits: Limits) -> None:
    """Append every record that Kafka has and `raw` lacks.

    Safe to repeat and to kill at any moment. Stops with an error when Kafka no longer has records
    that were never archived (`failOnDataLoss`), since that is a loss to be seen, not skipped.
    """
    lake = Lake(settings.lake)
    lake.ensure(spark, Table.RAW)
    checkpoint = checkpoint_for(settings)
    has_begun = any((checkpoint / "offsets").glob("[0-9]*"))
    source = {
        "kafka.bootstrap.servers": settings.kafka,
        "subscribe": settings.topic,
        # heeded for a new checkpoint only
        "startingOffsets": "earliest" if has_begun else starting_offsets(settings),
        "includeHeaders": "true",
        "failOnDataLoss": "true",
        "kafka.isolation.level": "read_committed",
        "maxOffsetsPerTrigger": str(MAX_RECORDS_PER_BATCH),
    }
    records = spark.readStream.format("kafka").options(**source).load()
    query = (
        from_kafka(records)
        .writeStream.queryName("archive")
        .trigger(availableNow=True)
        .option("checkpointLocation", str(checkpoint))
        .foreachBatch(_Append(lake.path(Table.RAW), limits))
        .start()
    )
    query.awaitTermination()


def checkpoint_for(settings: Settings) -> Path:
    """Return the checkpoint folder, one for each pair of topic and lake: a new lake starts anew."""
    lake = hashlib.sha256(settings.lake.encode()).hexdigest()[:8]
    return settings.home / "checkpoints" / f"archive-{settings.topic}-{lake}"


def next_offsets(settings: Settings) -> dict[int, int] | None:
    """Return, by partition, where the archive goes on from its checkpoint; None where it has
    finished no batch and would find its start in the lake.

    A batch that is begun and not finished is run again, so its records are still to come.
    """
    checkpoint = checkpoint_for(settings)
    finished = [int(path.name) for path in (checkpoint / "commits").glob("[0-9]*")]
    if not finished:
        return None
    last = (checkpoint / "offsets" / str(max(finished))).read_text().splitlines()[-1]
    return {int(part): offset for part, offset in json.loads(last)[settings.topic].items()}


@contextmanager
def raw_lock(settings: Settings, report: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Keep a backfill and the archive of one home from writing `raw` at the same time: where one
    ends is where the other begins. TransientError after RAW_WAIT_S seconds.
    """
    checkpoint = checkpoint_for(settings)
    lock = checkpoint.with_name(f"{checkpoint.name}.lock")
    with exclusive(lock, wait_s=RAW_WAIT_S, report=report):
        yield


@dataclass(frozen=True, slots=True)
class _Append:
    """Appends one micro-batch to `raw`. Delta keeps (query, batch) in the same commit as the rows,
    so a batch that Spark runs again after a crash is not appended again.
    """

    path: str
    limits: Limits

    def __call__(self, batch: DataFrame, number: int) -> None:
        held = batch.persist()
        try:
            contracts = contracts_of(held)
            query = batch.sparkSession.sparkContext.getLocalProperty("sql.streaming.queryId")
            (
                raw_rows(held, contracts, self.limits)
                .write.format("delta")
                .mode("append")
                .option("txnAppId", f"archive-{query}")
                .option("txnVersion", number)
                .save(self.path)
            )
        finally:
            held.unpersist()


def from_kafka(records: DataFrame) -> DataFrame:
    """Name the columns of a Kafka source as the decoder wants them; headers must be included."""
    return records.select(
        "topic",
        "partition",
        "offset",
        F.unix_millis("timestamp").alias("record_ms"),
        _text(F.col("key")).alias("key"),
        "value",
        _text(_header("feed")).alias("feed"),
        _text(_header("received_ns")).try_cast("bigint").alias("received_ns"),
    )


def contracts_of(records: DataFrame) -> list[Contract]:
    """Load the contracts of the feeds that records name, of those that there are."""
    feeds = {row.feed for row in records.select("feed").distinct().collect()}
    return [load_contract(name) for name in contract_names() if name in feeds]


def raw_rows(records: DataFrame, contracts: Sequence[Contract], limits: Limits) -> DataFrame:
    """Decode records into the rows of `raw`: one row a record, its events and rejections inside."""
    decoded = decode(records, contracts, limits)
    times, kinds = F.col("events.event_ns"), F.col("events.kind")
    first = F.array_min(times)
    return decoded.withColumns(
        {
            "first_event_ns": first,
            "last_event_ns": F.array_max(times),
            "date": F.to_date(F.timestamp_seconds(floor_div(first, SECOND_NS))),
            "amends": F.array_contains(kinds, "cancel") | F.array_contains(kinds, "correct"),
            "accepted": F.size("events"),
            "rejections": F.size("rejected"),
        }
    ).select(*RAW.names)


def starting_offsets(settings: Settings) -> str:
    """Return where a new checkpoint starts: behind what the lake holds, or at the first record that
    Kafka still has; what lies between is a hole that each count names.

    Spark wants either every partition named or none.
    """
    kept = available_offsets(settings.kafka, settings.topic)
    held = count_offsets(settings.lake, settings.topic).ends
    ends = {part: max(end, kept[part].start) for part, end in held.items() if part in kept}
    if not ends:
        return "earliest"
    starts = dict.fromkeys(range(settings.partitions), _EARLIEST) | ends
    return json.dumps({settings.topic: {str(part): start for part, start in starts.items()}})


def _header(name: str) -> Column:
    """Return the first header of a name; without a lambda, which Spark interprets row by row."""
    position = F.array_position("headers.key", F.lit(name)).cast("int")
    return F.get("headers.value", position - 1)


def _text(value: Column) -> Column:
    return F.try_validate_utf8(value.cast("string"))
