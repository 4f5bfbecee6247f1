"""The archive: appends every Kafka record to `raw` once, with its coordinates and decoded events.

Does not make bars. Delta's streaming sink makes it exactly once: it records the batch in the same
commit as its rows. After a lost checkpoint, the archive resumes from the offsets in the lake.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark.errors import StreamingQueryException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.checkpoint import Role, last_committed, offsets_of, require_whole
from truetape.batch.spark.decoder import decode
from truetape.batch.spark.fold import floor_div
from truetape.batch.spark.lake import RAW, Lake
from truetape.broker.offsets import available_offsets
from truetape.feeds.contract import Contract, contract_names, load_contract
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.host.locks import exclusive
from truetape.host.settings import Settings
from truetape.lake.coverage import count_offsets
from truetape.lake.generations import Generations, log_name
from truetape.lake.record_identity import adopt_topic
from truetape.lake.tables import Table
from truetape.market.resolution import SECOND_NS

MAX_RECORDS_PER_BATCH = 1_000_000
RAW_WAIT_S = 1_800.0
"""How long the archive waits for a running backfill to end, and the reverse."""
_AWAY = "away: the next run continues after the last offset in raw, so nothing is lost or doubled"
_BROKER_STAMP = 1
"""Kafka's number for a stamp that the broker set."""
_PRODUCER_STAMP = (
    " carries a stamp of its producer, which bounds no time; "
    'see "Stamps of producers" in docs/RUNBOOK.md'
)
_EARLIEST = -2
"""Spark's Kafka source reads this as "from the first record of this partition"."""


def archive(spark: SparkSession, settings: Settings, limits: Limits) -> None:
    """Append every record that Kafka has and `raw` lacks. Call it under `raw_lock`.

    Safe to repeat and to kill at any moment. Fails if Kafka has dropped records that were never
    archived (`failOnDataLoss`): an operator must see that loss. Raise ConfigError if Kafka has
    given offsets that `raw` has to other records.
    """
    lake = Lake(settings.lake)
    lake.ensure(spark, Table.RAW)
    generations = adopt_topic(settings)
    checkpoint = checkpoint_for(settings, generations.last)
    require_whole(checkpoint, dict.fromkeys(Role, f"move {checkpoint} {_AWAY}"))
    has_begun = any((checkpoint / "offsets").glob("[0-9]*"))
    source = {
        "kafka.bootstrap.servers": settings.kafka,
        "subscribe": settings.topic,
        # Spark uses it only for a new checkpoint
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
        .foreachBatch(_Append(lake.path(Table.RAW), limits, generations))
        .start()
    )
    try:
        query.awaitTermination()
    except StreamingQueryException as error:
        if (refusal := stamp_error(str(error))) is not None:
            raise refusal from error
        raise


def checkpoint_for(settings: Settings, generation: int = 1) -> Path:
    """Return the checkpoint folder. Each pair of topic and lake has its own, so that a new lake
    starts from the beginning; so has each generation, so that it starts from the first record.
    """
    lake = hashlib.sha256(settings.lake.encode()).hexdigest()[:8]
    return settings.home / "checkpoints" / f"archive-{log_name(settings.topic, generation)}-{lake}"


def next_offsets(settings: Settings, generation: int) -> dict[int, int] | None:
    """Return, by partition, the next offset of the archive's checkpoint; None if the checkpoint has
    no finished batch, so that the archive starts from the offsets in the lake.

    Spark runs a batch again that was begun and not finished, so its records do not count.
    """
    checkpoint = checkpoint_for(settings, generation)
    batch = last_committed(checkpoint)
    if batch < 0:
        return None
    offsets = offsets_of(checkpoint, batch, settings.topic)
    return {int(part): offset for part, offset in offsets.items()}


@contextmanager
def raw_lock(settings: Settings, report: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock under which the archive or a backfill of one home writes `raw`. Only one of
    them may write at a time. Raise TransientError after RAW_WAIT_S seconds.
    """
    checkpoint = checkpoint_for(settings)
    lock = checkpoint.with_name(f"{checkpoint.name}.lock")
    with exclusive(lock, wait_s=RAW_WAIT_S, report=report):
        yield


@dataclass(frozen=True, slots=True)
class _Append:
    """Appends one micro-batch to `raw`. Delta stores (query, batch) in the commit of the rows, so a
    batch that Spark runs again after a crash is not appended twice.
    """

    path: str
    limits: Limits
    generations: Generations

    def __call__(self, batch: DataFrame, number: int) -> None:
        records = with_logs(batch, self.generations).persist()
        try:
            contracts = contracts_of(records)
            query = batch.sparkSession.sparkContext.getLocalProperty("sql.streaming.queryId")
            (
                raw_rows(records, contracts, self.limits)
                .write.format("delta")
                .mode("append")
                .option("txnAppId", f"archive-{query}")
                .option("txnVersion", number)
                .save(self.path)
            )
        finally:
            records.unpersist()


def from_kafka(records: DataFrame) -> DataFrame:
    """Return the columns of a Kafka source under the decoder's names. The source must include
    headers. A record that its producer stamped fails the read: no stamp bounds its times.
    """
    return records.select(
        "topic",
        "partition",
        "offset",
        F.when(F.col("timestampType") == _BROKER_STAMP, F.unix_millis("timestamp"))
        .otherwise(F.raise_error(_producer_stamp()))
        .alias("record_ms"),
        _text(F.col("key")).alias("key"),
        "value",
        _text(_header("feed")).alias("feed"),
        _text(_header("received_ns")).try_cast("bigint").alias("received_ns"),
    )


def stamp_error(text: str) -> ConfigError | None:
    """Return the error about a record that its producer stamped, by Spark's own error.

    None if that error is another one.
    """
    match = re.search(rf"[^\s]+{re.escape(_PRODUCER_STAMP)}", text)
    return None if match is None else ConfigError(match[0])


def _producer_stamp() -> Column:
    place = F.concat_ws("@", F.concat_ws("/", "topic", "partition"), "offset")
    return F.concat(place, F.lit(_PRODUCER_STAMP))


def with_logs(records: DataFrame, generations: Generations) -> DataFrame:
    """Replace the topic of records by the name of their partition's present log."""
    logs = generations.logs(generations.numbers)
    renamed = {part: log for part, log in logs.items() if log != generations.topic}
    if not renamed:
        return records
    pairs = F.create_map(*[F.lit(value) for pair in renamed.items() for value in pair])
    return records.withColumn("topic", F.coalesce(pairs[F.col("partition")], F.col("topic")))


def contracts_of(records: DataFrame) -> list[Contract]:
    """Load the contracts of the feeds that records name; feeds without a contract are skipped."""
    feeds = {row.feed for row in records.select("feed").distinct().collect()}
    return [load_contract(name) for name in contract_names() if name in feeds]


def raw_rows(records: DataFrame, contracts: Sequence[Contract], limits: Limits) -> DataFrame:
    """Decode records into rows of `raw`: one row a record, with its events and rejections."""
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
    """Return where a new checkpoint starts: after the last offset in the lake, or at Kafka's first
    record if that is later. The offsets between are a hole that each count reports.

    Spark needs the offset of every partition, or of none.
    """
    available = available_offsets(settings.kafka, settings.topic)
    archived = count_offsets(settings.lake, settings.topic).ends
    ends = {
        part: max(end, available[part].start) for part, end in archived.items() if part in available
    }
    if not ends:
        return "earliest"
    starts = dict.fromkeys(range(settings.partitions), _EARLIEST) | ends
    return json.dumps({settings.topic: {str(part): start for part, start in starts.items()}})


def _header(name: str) -> Column:
    """Return the first header of a name. Uses no lambda: Spark would interpret it row by row."""
    position = F.array_position("headers.key", F.lit(name)).cast("int")
    return F.get("headers.value", position - 1)


def _text(value: Column) -> Column:
    return F.try_validate_utf8(value.cast("string"))
