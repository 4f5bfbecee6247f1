"""The Spark engine of a recompute: executors read `raw` and compute the parts of a session.

What goes between executors are Arrow tables in Arrow's own bytes: as rows of the JVM a number of 38
digits is an object, which took most of the time.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from truetape.batch.recompute import Compute, Result
from truetape.batch.spark import on_executors
from truetape.kernel.events import names_of
from truetape.lake.deliveries import SessionDeliveries, earliest

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import SparkSession

MAX_GROUP_EVENTS = 250_000
"""About how many events an executor's process settles and folds at once."""
MIN_GROUP_EVENTS = 50_000
"""With fewer events a group costs more to start than to compute."""


def computed(
    deliveries: SessionDeliveries, compute: Compute[Result], *, spark: "SparkSession"
) -> Iterator[Result]:
    """Yield what a function returns for each group of symbols; see `recompute.Engine`."""
    context = spark.sparkContext
    expected, cores = deliveries.expected(), context.defaultParallelism
    count = 1 + max(expected // MAX_GROUP_EVENTS, min(cores - 1, expected // MIN_GROUP_EVENTS))
    amendments = deliveries.amendments
    parts = deliveries.parts()
    reads = context.parallelize(parts, max(1, len(parts)))
    groups = reads.flatMap(partial(on_executors.read_groups, deliveries=deliveries, count=count))
    if amendments.num_rows:
        names = names_of(amendments)
        receipts = partial(on_executors.first_receipts, deliveries=deliveries, names=names)
        others = deliveries.others(earliest(reads.map(receipts).collect()))
        groups = groups.union(_sent(spark, [amendments, *others], count))
    grouped = groups.partitionBy(count, int)
    yield from grouped.mapPartitions(partial(on_executors.compute_group, compute=compute)).collect()


def _sent(
    spark: "SparkSession", tables: list[pa.Table], count: int
) -> "RDD[on_executors.GroupBytes]":
    """Return the groups of tables that the driver has."""
    groups = [group for table in tables for group in on_executors.grouped(table, count)]
    return spark.sparkContext.parallelize(groups, 1)
