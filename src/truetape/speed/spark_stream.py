"""The engine `spark`: Spark reads Kafka and counts on its executors; the driver merges and writes.

The query is stateless, and its checkpoint is thrown away: the position in the heartbeat is what
counts, so that any driver on any host goes on where the last one stopped.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.streaming.query import StreamingQuery

from truetape.batch.spark.kafka_source import from_kafka, stamp_error
from truetape.batch.spark.on_executors import Batches, keep_loaded, records_of
from truetape.batch.spark.session import spark_session
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.jars import spark_jars
from truetape.host.settings import Settings
from truetape.host.storage import storage_error
from truetape.speed.counting import COUNTED, Counting, CountingRules
from truetape.speed.position import SpeedPosition
from truetape.speed.writer import SpeedWriter

if TYPE_CHECKING:
    from pyspark import Broadcast

_CONF = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.streaming.pollingDelay": "50ms",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
}


ENOUGH_RECORDS, PAUSE_S = 100, 2
"""A batch waits so long for so many records: on a quiet topic, each batch costs more than it is
worth."""


class SparkStream:
    """The streaming query of one driver."""

    def __init__(self, settings: Settings, rules: CountingRules) -> None:
        self._settings = settings
        self._rules = rules
        self._spark: SparkSession | None = None
        self._query: StreamingQuery | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="truetape-speed-")

    def start(self) -> str:
        """Start Spark and return its name of the application."""
        settings = self._settings
        # a standalone cluster gives an application every core that is free, and this one never ends
        share = {"spark.cores.max": str(settings.speed_cores)}
        spark = spark_session("truetape speed layer", settings, spark_jars(settings.cache), share)
        for name, value in _CONF.items():
            spark.conf.set(name, value)
        self._spark = spark
        return str(spark.sparkContext.applicationId)

    def begin(self, position: SpeedPosition, writer: SpeedWriter) -> None:
        """Start the query at the horizons of a position."""
        assert self._spark is not None, "started before"  # noqa: S101 - for the types
        rules = self._spark.sparkContext.broadcast(self._rules)
        counted = _records(self._spark, self._settings, position.horizons).mapInArrow(
            _counting(rules), from_arrow_schema(COUNTED)
        )
        self._query = (
            counted.writeStream.queryName("speed_layer")
            .trigger(processingTime=f"{self._settings.speed_trigger_s} seconds")
            .option("checkpointLocation", self._scratch.name)
            .foreachBatch(_written_by(writer))
            .start()
        )

    def check(self) -> None:
        """Raise what ended the query if it ended by itself; see `ended`."""
        if self._query is not None and not self._query.isActive:
            raise ended(str(self._query.exception()), Path(self._scratch.name))

    def stop(self) -> None:
        """Stop the query between two batches."""
        if self._query is not None:
            self._query.stop()

    def close(self) -> None:
        """End Spark and remove what it kept on disk."""
        if self._spark is not None:
            self._spark.stop()
        self._scratch.cleanup()


def ended(text: str, scratch: Path) -> TruetapeError:
    """Return the error for a query that ended by itself: ConfigError if no start can help."""
    refused = storage_error(text, str(scratch))
    if refused is not None:
        return type(refused)(f"the streaming query ended: {refused}")
    return stamp_error(text) or TransientError(f"the streaming query ended: {text}")


def _records(spark: SparkSession, settings: Settings, offsets: Mapping[str, int]) -> DataFrame:
    """Open the topic as a stream from the given offsets on.

    Uses no more tasks than there are cores: each task loads the kernel's queries.
    """
    start = json.dumps({settings.topic: dict(offsets)}) if offsets else "earliest"
    options = {
        "kafka.bootstrap.servers": settings.kafka,
        "subscribe": settings.topic,
        "startingOffsets": start,
        "includeHeaders": "true",
        "failOnDataLoss": "true",
        "kafka.isolation.level": "read_committed",
        "maxOffsetsPerTrigger": str(settings.speed_max_trades_per_batch),
        "minOffsetsPerTrigger": str(ENOUGH_RECORDS),
        "maxTriggerDelay": f"{PAUSE_S}s",
    }
    records = spark.readStream.format("kafka").options(**options).load()
    return from_kafka(records.coalesce(spark.sparkContext.defaultParallelism))


def _counting(rules: "Broadcast[CountingRules]") -> Batches:
    """Return the function from records to `COUNTED`, which runs on executors."""

    def counted(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counting = Counting(rules.value)
        for batch in batches:
            yield from counting.counted(records_of(batch)).to_batches()
            keep_loaded()

    return counted


def _written_by(writer: SpeedWriter) -> Callable[[DataFrame, int], None]:
    def write(batch: DataFrame, number: int) -> None:  # noqa: ARG001 - Spark counts its own batches
        writer(batch.toArrow)

    return write
