"""Backfill in Spark: reads exactly the missing records from Kafka, and appends them to `raw`.

Does not decide what to read: `backfill_plan` does. Reads Kafka by offsets, without the archive's
stream and checkpoint; decodes as the archive does.
"""

import json
from collections.abc import Iterator, Mapping
from functools import reduce

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from truetape.batch.affected_sessions import affected_sessions, group_by_session
from truetape.batch.archive import contracts_of, from_kafka, raw_rows, with_logs
from truetape.batch.backfill_plan import OffsetPlan, OffsetsByPartition, PlanContents
from truetape.batch.spark.lake import Lake
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.generations import Generations
from truetape.lake.tables import Table
from truetape.market.ranges import Range
from truetape.market.sessions import Venue

MAX_READS = 8
"""Most ranges of offsets in which Kafka is read. Holes close to each other share a range; the
records between them are read and dropped."""
MAX_AFFECTED = 1_000_000
"""Most pairs of session and symbol that one backfill may affect; the plan lists them."""


def missing_rows(
    spark: SparkSession,
    settings: Settings,
    wanted: OffsetsByPartition,
    generations: Generations,
) -> DataFrame:
    """Read the records at these offsets, at least one, as rows of `raw` under their present logs.

    Fails if Kafka drops one of them meanwhile.
    """
    reads = (_read(spark, settings, ranges) for ranges in _rounds(wanted))
    records = from_kafka(reduce(DataFrame.unionAll, reads))
    table = spark.createDataFrame(
        [(part, span.start, span.last) for part, spans in wanted.items() for span in spans],
        "part int, first bigint, last bigint",
    )
    inside = (F.col("partition") == F.col("part")) & F.col("offset").between(
        F.col("first"), F.col("last")
    )
    # each task compiles the decoder, so a small range must not be a task of its own
    cores = spark.sparkContext.defaultParallelism
    exact = records.join(F.broadcast(table), inside, "leftsemi").coalesce(cores)
    exact = with_logs(exact, generations)
    return raw_rows(exact, contracts_of(exact), Limits.of(settings))


def read_contents(
    spark: SparkSession, settings: Settings, plan: OffsetPlan, venues: Mapping[str, Venue]
) -> PlanContents:
    """Read the records that a plan would ingest, and count what they contain. Writes nothing.

    Raise ConfigError if Kafka has fewer records than offsets there.
    """
    if not plan.to_ingest:
        return PlanContents()
    rows = missing_rows(spark, settings, plan.to_ingest, _generations(plan)).persist()
    try:
        counts = rows.select(
            F.count("*").alias("records"),
            F.sum("accepted").alias("events"),
            F.sum("rejections").alias("rejected"),
        ).collect()[0]
        if counts.records != plan.total("to_ingest"):
            raise ConfigError(
                f"{plan.topic} has {counts.records:,} records at {plan.total('to_ingest'):,} "
                "offsets: it is compacted or written in transactions, so holes cannot be found; "
                'see "Holes" in docs/RUNBOOK.md'
            )
        archived = Lake(settings.lake).read(spark, Table.RAW)
        affected = group_by_session(_affected(rows, archived, venues))
        return PlanContents(counts.records, counts.events, counts.rejected, affected)
    finally:
        rows.unpersist()


def append_missing(spark: SparkSession, settings: Settings, plan: OffsetPlan) -> None:
    """Append the missing records of a plan to `raw` in one commit, as backfill `plan.number`.

    Delta stores the number in the commit, and skips a commit whose number it has. So of several
    plans with the same number only one is ingested, however often each is tried.
    """
    (
        missing_rows(spark, settings, plan.to_ingest, _generations(plan))
        .write.format("delta")
        .mode("append")
        .option("txnAppId", transaction_name(plan.topic))
        .option("txnVersion", plan.number)
        .option("userMetadata", f"backfill {plan.digest}: {plan.request.reason}")
        .save(Lake(settings.lake).path(Table.RAW))
    )


def transaction_name(topic: str) -> str:
    """Return the name under which Delta stores the number of the last backfill of a topic."""
    return f"backfill-{topic}"


def _generations(plan: OffsetPlan) -> Generations:
    return Generations(plan.topic, plan.generations, {})


def _rounds(wanted: OffsetsByPartition) -> Iterator[dict[int, Range]]:
    """Yield reads, each with one range of each partition, until all offsets are covered."""
    covers = {part: spans.coarsened(MAX_READS).parts for part, spans in wanted.items()}
    for number in range(max(len(cover) for cover in covers.values())):
        yield {part: cover[number] for part, cover in covers.items() if number < len(cover)}


def _read(spark: SparkSession, settings: Settings, ranges: Mapping[int, Range]) -> DataFrame:
    starts = {str(part): span.start for part, span in ranges.items()}
    ends = {str(part): span.end for part, span in ranges.items()}
    source = {
        "kafka.bootstrap.servers": settings.kafka,
        "assign": json.dumps({settings.topic: sorted(ranges)}),
        "startingOffsets": json.dumps({settings.topic: starts}),
        "endingOffsets": json.dumps({settings.topic: ends}),
        "includeHeaders": "true",
        "failOnDataLoss": "true",
        "kafka.isolation.level": "read_committed",
    }
    return spark.read.format("kafka").options(**source).load()


def _affected(rows: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]) -> list[Row]:
    """Return the sessions and symbols that rows affect. Raise ConfigError for over MAX_AFFECTED."""
    affected: list[Row] = (
        affected_sessions(rows, archived, venues).limit(MAX_AFFECTED + 1).collect()
    )
    if len(affected) > MAX_AFFECTED:
        raise ConfigError(
            f"the missing records affect over {MAX_AFFECTED:,} sessions and symbols; fill the "
            "holes in portions with --offsets"
        )
    return affected
