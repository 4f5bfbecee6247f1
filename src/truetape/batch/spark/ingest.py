"""Ingest on Spark: its Kafka source reads ranges of offsets, executors run the kernel."""

import json
from collections.abc import Iterator, Mapping
from functools import reduce

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.ingest_plan import IngestPlan
from truetape.batch.raw_rows import all_contracts
from truetape.batch.spark.errors import spark_errors
from truetape.batch.spark.kafka_source import from_kafka, stamp_error
from truetape.batch.spark.on_executors import FILES, archiving
from truetape.batch.spark.session import spark_session
from truetape.feeds.decoder import Limits
from truetape.host.jars import spark_jars
from truetape.host.settings import Settings
from truetape.kernel.columns import RECORDS
from truetape.lake.data_files import DataFile
from truetape.market.ranges import Range, Ranges

MAX_READS = 8
"""Most ranges of offsets in which a partition of Kafka is read. Ranges close to each other share
one; the records between them are read and dropped."""


def archived_files(settings: Settings, plan: IngestPlan) -> list[DataFile]:
    """Write the records of a plan into new files of `raw`; see `batch.ingest.ingest`."""
    with spark_errors(settings):
        spark = spark_session("truetape ingest", settings, spark_jars(settings.cache))
        try:
            return [DataFile(*row) for row in _files(spark, settings, plan).collect()]
        except PySparkException as error:
            if (refusal := stamp_error(str(error))) is not None:
                raise refusal from error
            raise


def _files(spark: SparkSession, settings: Settings, plan: IngestPlan) -> DataFrame:
    """Return the files that tasks write for the records of a plan."""
    reads = (_read(spark, settings, ranges) for ranges in _rounds(plan.offsets))
    records = from_kafka(reduce(DataFrame.unionAll, reads))
    table = spark.createDataFrame(
        [
            (part, span.start, span.last, plan.logs[part])
            for part, spans in plan.offsets.items()
            for span in spans
        ],
        "part int, first bigint, last bigint, log string",
    )
    inside = (F.col("partition") == F.col("part")) & F.col("offset").between(
        F.col("first"), F.col("last")
    )
    exact = records.join(F.broadcast(table), inside).withColumn("topic", F.col("log"))
    columns = [name for name in RECORDS.names if name != "day"]
    # each task loads Python's packages and plans the queries, so a small range gets none of its own
    few = exact.select(columns).coalesce(spark.sparkContext.defaultParallelism)
    contracts = spark.sparkContext.broadcast(all_contracts())
    return few.mapInArrow(archiving(contracts, Limits.of(settings), settings.lake), FILES)


def _rounds(wanted: Mapping[int, Ranges]) -> Iterator[dict[int, Range]]:
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
