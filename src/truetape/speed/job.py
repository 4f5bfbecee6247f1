"""The streaming application: the driver's protocol on Spark, Kafka and the bar store.

Decides nothing; `protocol` does. Exit codes: 0 asked to stop, 75 a server was away or the lease was
lost, 78 configuration, 1 an error that nobody foresaw, whose traceback is in the log.
"""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from truetape.batch.spark.kafka_source import stamp_error
from truetape.batch.spark.session import spark_session
from truetape.broker.control_topic import ControlTopic
from truetape.broker.offsets import TopicOffsets
from truetape.broker.topics import require_broker_stamps
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.host import profiles, venues
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.jars import spark_jars
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.storage import fullest, storage_error
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore
from truetape.speed import heartbeat, stream
from truetape.speed.control_records import ControlRecords
from truetape.speed.driver import Driver
from truetape.speed.lease import Lease
from truetape.speed.metrics import EVERY_S, BarCounts, MetricsWriter, points
from truetape.speed.progress import (
    Progress,
    checkpoint_for,
    committed_offsets,
    damage_error,
    first_batch,
    require_watermark,
    require_whole_checkpoint,
)
from truetape.speed.protocol import DriverRun, Wait, reported
from truetape.speed.read_log import LogObserver, ReadLog, require_same_log
from truetape.speed.writer import SpeedWriter

EXIT_WITHIN_S = 60.0
"""How long to wait for a JVM that hangs, once the exit report is written."""


def run(settings: Settings, command: int | None = None, after: int | None = None) -> None:
    """Serve until SIGTERM, SIGINT or a command newer than `command` (None: the newest one now).

    With `after`, leave the lease alone if its holder has a later epoch: whoever decided to start
    this driver had not seen that holder. Whatever ends it, also an error that nobody foresaw, is in
    an exit report on the control topic. If the query ends by itself, raise what its writer met,
    else TransientError.
    """
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    with (
        ControlTopic(settings.kafka) as control,
        TopicOffsets(settings.kafka, settings.topic) as offsets,
    ):
        records, spark = ControlRecords(control, settings.topic), SparkStream(settings, offsets)
        with reported(records):
            number = records.refresh().desired.number if command is None else command
        driver = _driver_run(settings, records, spark, stop, number=number, after=after)
        try:
            with closing(_Reports(spark, settings)) as reports:
                for wait in driver.steps():
                    reports.write(driver)
                    _wait(wait, stop)
        except Exception as error:
            driver.report_error(error)
            raise
        finally:
            _leave(driver)


def _driver_run(
    settings: Settings,
    records: ControlRecords,
    spark: "SparkStream",
    stop: threading.Event,
    *,
    number: int,
    after: int | None,
) -> DriverRun:
    def take_lease() -> Lease:
        spark.require_checkpoint()
        return Lease.take(settings, records, number, spark.first_batch)

    return DriverRun(
        driver=Driver.this(),
        records=records,
        command=number,
        after=after,
        stream=spark,
        open_store=lambda: closing(open_store(settings)),
        load_venues=venues.venues,
        write_timeout_s=settings.write_timeout_s,
        take_lease=take_lease,
        newest_beat=lambda: heartbeat.newest(settings.kafka, settings.topic),
        must_stop=stop.is_set,
    )


def _wait(wait: Wait, stop: threading.Event) -> None:
    """Wait; a signal ends the wait early, but every later wait is waited for."""
    time.sleep(wait.seconds) if stop.is_set() else stop.wait(wait.seconds)


def _leave(driver: DriverRun) -> None:
    """Disconnect from Kafka and Java; leave a JVM that hangs behind after a while."""
    timer = threading.Timer(EXIT_WITHIN_S, os._exit, [driver.code])
    timer.daemon = True
    timer.start()
    if driver.lease is not None:
        driver.lease.close()
    if (session := SparkSession.getActiveSession()) is not None:
        session.stop()


class SparkStream:
    """The named query on its fixed checkpoint; a restart continues after the last commit."""

    _spark: SparkSession  # set by `start`

    def __init__(self, settings: Settings, topic: TopicOffsets) -> None:
        self._settings = settings
        self._topic = topic
        self.query: StreamingQuery | None = None
        self._offsets: Mapping[str, int] = {}
        self._log = LogObserver(settings, topic)

    def require_checkpoint(self) -> None:
        """Raise ConfigError if the checkpoint belongs to another plan or another log, is damaged,
        or has a watermark beyond the clock, or if producers stamp the records.
        """
        require_whole_checkpoint(self._settings)
        require_watermark(checkpoint_for(self._settings), datetime.now(UTC))
        require_broker_stamps(self._settings.kafka, self._settings.topic)
        require_same_log(self._settings)

    def first_batch(self) -> int:
        """Return the first batch that is not committed."""
        return first_batch(checkpoint_for(self._settings))

    def start(self) -> str:
        """Start Spark and return its name of the application."""
        settings = self._settings
        # a standalone cluster gives an application every core that is free, and this one never ends
        share = {"spark.cores.max": str(settings.speed_cores)}
        spark = spark_session("truetape speed layer", settings, spark_jars(settings.cache), share)
        spark.conf.set("spark.sql.shuffle.partitions", str(settings.speed_shuffle_partitions))
        spark.conf.set("spark.sql.adaptive.enabled", "false")
        self._spark = spark
        return str(spark.sparkContext.applicationId)

    def begin(self, writer: SpeedWriter) -> None:
        """Start the query."""
        self._offsets = committed_offsets(checkpoint_for(self._settings), self._topic.topic)
        self.query = self._plan().foreachBatch(writer).start()

    def check(self) -> None:
        """Raise what ended the query if it ended by itself; see `ended`."""
        if self.query is not None and not self.query.isActive:
            raise ended(str(self.query.exception()), self._settings)

    def progress(self) -> Progress:
        """Return the last finished batch; before the first one, the offsets of the checkpoint."""
        progress = Progress.of(None if self.query is None else self.query.lastProgress)
        self._offsets = progress.offsets or self._offsets
        return replace(progress, offsets=self._offsets)

    def lag(self, offsets: Mapping[str, int]) -> Mapping[str, int]:
        """Return the number of records from `offsets` to the end of the topic, by partition."""
        return heartbeat.lag(self._topic.ends(), offsets)

    def read_log(self, offsets: Mapping[str, int], *, fresh: bool) -> ReadLog:
        """Return which records of the topic's log were read, and store that with the checkpoint."""
        return self._log.observe(offsets, fresh=fresh)

    def stop(self) -> None:
        """Stop the query between two batches."""
        if self.query is not None:
            self.query.stop()

    @property
    def topic(self) -> str:
        """Return the name of the topic of trades."""
        return self._topic.topic

    def _plan(self) -> Any:
        settings = self._settings
        contracts = [load_contract(name) for name in settings.feeds]
        trades = stream.trades_of(
            stream.kafka_records(self._spark, settings),
            contracts,
            Limits.of(settings),
            venues.venues(),
        )
        duplicated = [contract.feed for contract in contracts if contract.duplicates_expected]
        bars = stream.provisional_bars(
            trades, profiles.load(settings.profile), settings.speed_lateness_s, duplicated
        )
        return (
            bars.writeStream.queryName("speed_layer")
            .outputMode("update")
            .trigger(processingTime=f"{settings.speed_trigger_s} seconds")
            .option("checkpointLocation", str(checkpoint_for(settings)))
        )


def ended(text: str, settings: Settings) -> TruetapeError:
    """Return the error for a query that ended by itself: ConfigError if no start can help.

    A full disk is named with its place: the checkpoint, or where Spark keeps its state meanwhile.
    """
    places = (settings.home / "checkpoints", Path(tempfile.gettempdir()))
    refused = storage_error(text, str(fullest(places)))
    if refused is not None:
        return type(refused)(f"the streaming query ended: {refused}")
    known = damage_error(settings, text) or stamp_error(text)
    return known or TransientError(f"the streaming query ended: {text}")


class _Reports:
    """Metrics and log lines about the batches of the query, beside the heartbeat."""

    def __init__(self, spark: SparkStream, settings: Settings) -> None:
        self._spark = spark
        self._settings = settings
        self._store: BarStore | None = None
        self._metrics: MetricsWriter | None = None
        self._logged_batch = -1
        self._offered_s = time.monotonic()
        self._offered_until = ""
        self._offered_counts = BarCounts()

    def write(self, driver: DriverRun) -> None:
        """Log the newest batch, and every `EVERY_S` write what the batches did since."""
        query, writer = self._spark.query, driver.writer
        if query is None or writer is None:
            return
        self._log_durations(query.lastProgress)
        if time.monotonic() - self._offered_s >= EVERY_S:
            self._offer(query, writer, sum(driver.lag.values()))

    def close(self) -> None:
        """Write the last metrics and disconnect."""
        if self._metrics is not None:
            self._metrics.close()
        if self._store is not None:
            self._store.close()

    def _offer(self, query: StreamingQuery, writer: SpeedWriter, lag: int) -> None:
        self._offered_s = time.monotonic()
        # by time: a trigger without rows reports under the number of the batch that comes next
        reports = [
            report for report in query.recentProgress if report["timestamp"] > self._offered_until
        ]
        counts = BarCounts(writer.written, writer.fenced, writer.rewritten)
        both, topic = (self._offered_counts, counts), self._spark.topic
        batch = points(reports, both, lag, writer.freshness_s, time.time_ns(), topic=topic)
        if not self._writer().offer(batch):
            return
        self._offered_counts = counts
        self._offered_until = max(
            (report["timestamp"] for report in reports), default=self._offered_until
        )

    def _writer(self) -> MetricsWriter:
        if self._metrics is None:
            self._store = open_store(self._settings)
            self._metrics = MetricsWriter(self._store)
        return self._metrics

    def _log_durations(self, report: Mapping[str, Any] | None) -> None:
        """Log the newest batch unless that was done."""
        if not report or int(report["batchId"]) == self._logged_batch:
            return
        self._logged_batch = int(report["batchId"])
        spent = report.get("durationMs") or {}
        rows = report.get("numInputRows", 0)
        logger("speed").info("spent", batch=self._logged_batch, rows=rows, **spent)
