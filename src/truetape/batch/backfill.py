"""Backfill in Spark: the records at exactly the missing coordinates, from Kafka into `raw`.

Reads Kafka by offsets, beside the archive's stream and without its checkpoint; decodes as the
archive does. What to read is decided in `backfill_plan`.
"""

import json
from collections.abc import Iterator, Mapping
from functools import reduce

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from truetape.batch.affected_sessions import affected_sessions, group_by_session
from truetape.batch.archive import contracts_of, from_kafka, raw_rows
from truetape.batch.backfill_plan import OffsetPlan, OffsetsByPartition, PlanContents
from truetape.batch.spark.lake import Lake
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.tables import Table
from truetape.market.ranges import Range
from truetape.market.sessions import Venue

MAX_READS = 8
"""Most ranges of offsets that Kafka is read in; closer holes share one, and what lies between them
is read and left out."""
MAX_TOUCHED = 1_000_000
"""Most pairs of session and symbol that one backfill may touch; they travel with the plan."""


def missing_rows(spark: SparkSession, settings: Settings, wanted: OffsetsByPartition) -> DataFrame:
    """Read the records at these offsets as rows of `raw`. There must be some.

    Fails when Kafka drops one of them meanwhile.
    """
    reads = (_read(spark, settings, ranges) for ranges in _rounds(wanted))
    found = from_kafka(reduce(DataFrame.unionAll, reads))
    table = spark.createDataFrame(
        [(part, one.start, one.last) for part, several in wanted.items() for one in several],
        "part int, first bigint, last bigint",
    )
    inside = (F.col("partition") == F.col("part")) & F.col("offset").between(
        F.col("first"), F.col("last")
    )
    # a task compiles the decoder, so a range of a few records must not be one of its own
    cores = spark.sparkContext.defaultParallelism
    exact = found.join(F.broadcast(table), inside, "leftsemi").coalesce(cores)
    return raw_rows(exact, contracts_of(exact), Limits.of(settings))


def read_contents(
    spark: SparkSession, settings: Settings, plan: OffsetPlan, venues: Mapping[str, Venue]
) -> PlanContents:
    """Read what a plan would ingest and say what it holds; writes nothing.

    ConfigError when Kafka has fewer records there than offsets.
    """
    if not plan.to_ingest:
        return PlanContents()
    rows = missing_rows(spark, settings, plan.to_ingest).persist()
    try:
        counts = rows.select(
            F.count("*").alias("records"),
            F.sum("accepted").alias("events"),
            F.sum("rejections").alias("rejected"),
        ).collect()[0]
        if counts.records != plan.total("to_ingest"):
            raise ConfigError(
                f"{plan.topic} has {counts.records:,} records at {plan.total('to_ingest'):,} "
                "offsets: it is compacted or written in transactions, so holes cannot be told; "
                'see "Holes" in docs/RUNBOOK.md'
            )
        archived = Lake(settings.lake).read(spark, Table.RAW)
        affected = group_by_session(_touches(rows, archived, venues))
        return PlanContents(counts.records, counts.events, counts.rejected, affected)
    finally:
        rows.unpersist()


def append_missing(spark: SparkSession, settings: Settings, plan: OffsetPlan) -> None:
    """Append what a plan ingests to `raw`, in one commit, as its `number`-th backfill.

    Delta keeps the number in the commit of the rows and passes over one that it has: of several
    plans with the same number one is carried out, however often each is tried.
    """
    (
        missing_rows(spark, settings, plan.to_ingest)
        .write.format("delta")
        .mode("append")
        .option("txnAppId", transaction_name(plan.topic))
        .option("txnVersion", plan.number)
        .option("userMetadata", f"backfill {plan.digest}: {plan.request.reason}")
        .save(Lake(settings.lake).path(Table.RAW))
    )


def transaction_name(topic: str) -> str:
    """Return the name under which Delta keeps the number of the last backfill of a topic."""
    return f"backfill-{topic}"


def _rounds(wanted: OffsetsByPartition) -> Iterator[dict[int, Range]]:
    """Yield reads: of each partition one range at a time, until all that is wanted was in one."""
    covers = {part: several.coarsened(MAX_READS).parts for part, several in wanted.items()}
    for place in range(max(len(cover) for cover in covers.values())):
        yield {part: cover[place] for part, cover in covers.items() if place < len(cover)}


def _read(spark: SparkSession, settings: Settings, ranges: Mapping[int, Range]) -> DataFrame:
    starts = {str(part): one.start for part, one in ranges.items()}
    ends = {str(part): one.end for part, one in ranges.items()}
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


def _touches(rows: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]) -> list[Row]:
    """Find which symbols of which sessions rows touch; ConfigError for more than a plan holds."""
    found: list[Row] = affected_sessions(rows, archived, venues).limit(MAX_TOUCHED + 1).collect()
    if len(found) > MAX_TOUCHED:
        raise ConfigError(
            f"over {MAX_TOUCHED:,} sessions and symbols are touched; fill the holes in portions "
            "with --offsets"
        )
    return found
