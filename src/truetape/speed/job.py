"""The streaming application: one query on one checkpoint, under one lease, until it is told to
stop.

Exit codes: 0 asked to stop, 75 transient or fenced, 78 configuration.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from truetape.batch.spark.session import spark_session
from truetape.broker.control_topic import ControlTopic
from truetape.broker.offsets import TopicOffsets
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.host import profiles, venues
from truetape.host.errors import LeaseLostError, TransientError, TruetapeError
from truetape.host.jars import spark_jars
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.speed import stream
from truetape.speed.bar_rewrite import Mender
from truetape.speed.checkpoint import checkpoint_for, first_batch, read_to
from truetape.speed.control_records import Board
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Phase, lag, newest
from truetape.speed.lease import Lease
from truetape.speed.metrics import EVERY_S, Counts, Teller, points
from truetape.speed.progress import Progress
from truetape.speed.takeover import Ended
from truetape.speed.writer import SpeedWriter

BEAT_S = 1.0
WRITE_ENDS_WITHIN_S = 60.0
"""How long a driver waits for its own write when it stops: all attempts of it."""
COMMIT_WITHIN_S = 5.0
"""How long a driver waits for Spark to note the last batch as done."""
EXIT_WITHIN_S = 60.0
"""A JVM that hangs is not waited for any longer once the last word is said."""


def run(settings: Settings, order: int | None = None, after: int | None = None) -> None:
    """Serve until SIGTERM, SIGINT or an order newer than `order`; None stands for the newest of
    now.

    With `after`, leave the lease alone when its holder has a later epoch: whoever decided to start
    this driver had not seen that one. Says why it ended on the control topic. A query that ends by
    itself raises what its writer met, else TransientError.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ControlTopic(settings.kafka) as control:
        board = Board(control, settings.topic).refresh()
        tenure = _Tenure(settings, board, board.desired.number if order is None else order)
        try:
            reason = tenure.objection(after) or tenure.serve(stop)
        except TruetapeError as error:
            tenure.say(error.exit_code, str(error), is_fenced=isinstance(error, LeaseLostError))
            raise
        else:
            tenure.say(0, reason)
        finally:
            tenure.leave()


class _Tenure:
    """One driver's time with the lease."""

    def __init__(self, settings: Settings, board: Board, order: int) -> None:
        self.settings = settings
        self.board = board
        self.order = order
        self.lease: Lease | None = None
        self.code = TransientError.exit_code

    def objection(self, after: int | None) -> str | None:
        """Say why not to begin at all: what led to this start is out of date."""
        number = self.board.desired.number
        if number > self.order:
            return f"order {number} came before the start"
        holder = None if after is None else newest(self.settings.kafka, self.board.layer)
        if holder is not None and after is not None and holder.epoch > after:
            return f"{holder.driver} took the lease before"
        return None

    def serve(self, stop: threading.Event) -> str:
        """Take the lease, stream until told otherwise, stop between two batches; return why."""
        checkpoint = checkpoint_for(self.settings)
        lease = self.lease = Lease.take(
            self.settings, self.board, self.order, lambda: first_batch(checkpoint)
        )
        feared = [str(one.driver) for one in lease.succession.suspects]
        logger("speed").info("took the lease", epoch=lease.epoch, order=self.order, feared=feared)
        with (
            closing(open_store(self.settings)) as store,
            closing(open_store(self.settings)) as metrics_store,
            closing(Teller(metrics_store)) as teller,
            TopicOffsets(self.settings.kafka, self.settings.topic) as offsets,
        ):
            mender = Mender(lease.succession.suspects, self.settings.write_timeout_s)
            writer = SpeedWriter(
                store, self.board, venues.venues(), lease, lease.succession, mender
            )
            spark = _spark(self.settings)
            try:
                lease.beat(application=str(spark.sparkContext.applicationId))
                if mender.suspects:
                    lease.wait(self.settings.write_timeout_s)
                writer.take_over()
                query = start(spark, self.settings, writer, checkpoint)
                read = read_to(checkpoint, offsets.topic)
                watch = _Watch(query, writer, lease, offsets, read, teller=teller)
                return self._stream(watch, stop)
            finally:
                writer.close(WRITE_ENDS_WITHIN_S)

    def say(self, code: int, message: str, *, is_fenced: bool = False) -> None:
        """Leave the last word; without Kafka nobody hears it, and that is said in the log."""
        self.code = code
        epoch = 0 if self.lease is None else self.lease.epoch
        touched = self.lease.unsettled if self.lease is not None and is_fenced else ()
        word = Ended(epoch, Driver.this(), code, message, datetime.now(UTC), touched)
        try:
            self.board.say(word)
        except TransientError as error:
            logger("speed").warning("last word not heard", error=str(error))
        spans = [str(span) for span in touched]
        logger("speed").info("ended", code=code, why=message, touched=spans)

    def leave(self) -> None:
        """Let go of Kafka and Java; a JVM that hangs is left behind after a while."""
        timer = threading.Timer(EXIT_WITHIN_S, os._exit, [self.code])
        timer.daemon = True
        timer.start()
        if self.lease is not None:
            self.lease.close()
        if (spark := SparkSession.getActiveSession()) is not None:
            spark.stop()

    def _stream(self, watch: "_Watch", stop: threading.Event) -> str:
        reason = "a signal"
        while not stop.wait(BEAT_S):
            watch.look()
            newer = self.board.desired
            if newer.number > self.order:
                reason = f"order {newer.number} by {newer.who}: {newer.reason}"
                break
        logger("speed").info("stopping", why=reason)
        watch.end()
        return reason


def start(
    spark: SparkSession, settings: Settings, writer: SpeedWriter, checkpoint: Path
) -> StreamingQuery:
    """Start the named query on its fixed checkpoint; a restart goes on where the last
    one stopped.
    """
    known = venues.venues()
    contracts = [load_contract(name) for name in settings.feeds]
    trades = stream.trades_of(
        stream.kafka_records(spark, settings), contracts, Limits.of(settings), known
    )
    duplicated = [item.feed for item in contracts if item.duplicates_expected]
    bars = stream.provisional_bars(
        trades, profiles.load(settings.profile), settings.speed_lateness_s, duplicated
    )
    return (
        bars.writeStream.queryName("speed_layer")
        .outputMode("update")
        .trigger(processingTime=f"{settings.speed_trigger_s} seconds")
        .option("checkpointLocation", str(checkpoint))
        .foreachBatch(writer)
        .start()
    )


def _spark(settings: Settings) -> SparkSession:
    # a standalone cluster gives an application every core that is free, and this one never ends
    share = {"spark.cores.max": str(settings.speed_cores)}
    spark = spark_session("truetape speed layer", settings, spark_jars(settings.cache), share)
    spark.conf.set("spark.sql.shuffle.partitions", str(settings.speed_shuffle_partitions))
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    return spark


class _Watch:
    """Looks after the running query: beats, fences, suspects, and the log of where time went."""

    def __init__(
        self,
        query: StreamingQuery,
        writer: SpeedWriter,
        lease: Lease,
        topic: TopicOffsets,
        read: Mapping[str, int],
        *,
        teller: Teller,
    ) -> None:
        self._query = query
        self._writer = writer
        self._lease = lease
        self._topic = topic
        self._read = read
        self._lag: Mapping[str, int] = {}
        self._logged = -1
        self._teller = teller
        self._told = time.monotonic()
        self._told_of = ""
        self._told_counts = Counts()

    def look(self) -> None:
        """Beat once; raise when the query has ended or the lease is lost."""
        if not self._query.isActive:
            raise self._writer.failure or TransientError(
                f"the streaming query ended: {self._query.exception()}"
            )
        self._writer.attend()
        self._beat(Phase.RUNNING)
        self._log_durations(self._query.lastProgress)
        if time.monotonic() - self._told >= EVERY_S:
            self._tell()

    def end(self) -> None:
        """Stop between two batches: what is being written is finished and noted as done."""
        self._beat(Phase.STOPPING)
        if not self._writer.close(WRITE_ENDS_WITHIN_S):
            raise TransientError(f"a write did not end within {WRITE_ENDS_WITHIN_S:.0f} s")
        give_up = time.monotonic() + COMMIT_WITHIN_S
        while self._progress().batch < self._writer.batch and time.monotonic() < give_up:
            time.sleep(0.05)
        self._query.stop()
        self._beat(Phase.STOPPED)

    def _progress(self) -> Progress:
        return Progress.of(self._query.lastProgress)

    def _beat(self, state: Phase) -> None:
        progress, writer = self._progress(), self._writer
        self._read = progress.offsets or self._read
        self._lag = lag(self._topic.ends(), self._read)
        self._lease.beat(
            state=state,
            batch=progress.batch,
            batch_end_ns=progress.batch_end_ns,
            rows_per_s=progress.rows_per_s,
            offsets=self._read,
            lag=self._lag,
            watermark=progress.watermark,
            freshness_s=writer.freshness_s,
            fences=writer.fences,
            written=writer.written,
            fenced=writer.fenced,
            mended=writer.mended,
        )

    def _tell(self) -> None:
        """Hand over what the batches did since the last time."""
        writer, self._told = self._writer, time.monotonic()
        # by time: a trigger without rows reports under the number of the batch that comes next
        fresh = [one for one in self._query.recentProgress if one["timestamp"] > self._told_of]
        counts = Counts(writer.written, writer.fenced, writer.mended)
        behind = sum(self._lag.values())
        both = (self._told_counts, counts)
        told = points(
            fresh, both, behind, writer.freshness_s, time.time_ns(), topic=self._topic.topic
        )
        if not self._teller.tell(told):
            return
        self._told_counts = counts
        self._told_of = max((one["timestamp"] for one in fresh), default=self._told_of)

    def _log_durations(self, report: Mapping[str, Any] | None) -> None:
        """Log the newest batch unless that was done."""
        if not report or int(report["batchId"]) == self._logged:
            return
        self._logged = int(report["batchId"])
        spent = report.get("durationMs") or {}
        rows = report.get("numInputRows", 0)
        logger("speed").info("spent", batch=self._logged, rows=rows, **spent)
