"""The streaming application: one query, one checkpoint, one heartbeat a second, until it is told to
stop.

Started by `spark/speed_layer.py`. Exit codes: 0 asked to stop, 75 transient, 78 configuration.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from truetape import profiles, venues
from truetape.batch.spark import spark_session
from truetape.errors import ConfigError, TransientError
from truetape.feeds import contract
from truetape.feeds.decoder import Limits
from truetape.local.jars import spark_jars
from truetape.log import logger
from truetape.reconcile.control import ControlTopic
from truetape.serving.store import open_store
from truetape.settings import Settings
from truetape.speed import stream
from truetape.speed.heartbeat import Heartbeat, HeartbeatTopic
from truetape.speed.writer import SpeedWriter

LAYOUT = 1
"""Raised whenever the plan changes what the state holds; an older checkpoint is then refused."""
BEAT_S = 1.0


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. A query that ends by itself raises what its writer met, such as
    a ConfigError for refused retention, else TransientError.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    checkpoint = checkpoint_for(settings)
    spark = spark_session("truetape speed layer", settings, spark_jars(settings.cache))
    spark.conf.set("spark.sql.shuffle.partitions", str(settings.speed_shuffle_partitions))
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    beats = HeartbeatTopic(settings.kafka)
    try:
        with ControlTopic(settings.kafka) as control:
            writer = SpeedWriter(open_store(settings), control, venues.venues())
            query = start(spark, settings, writer, checkpoint)
            _watch(query, writer, beats, stop)
    finally:
        beats.close()
        spark.stop()


def start(
    spark: SparkSession, settings: Settings, writer: SpeedWriter, checkpoint: Path
) -> StreamingQuery:
    """Start the named query on its fixed checkpoint; a restart goes on where the last
    one stopped.
    """
    known = venues.venues()
    contracts = [contract.load(name) for name in settings.feeds]
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


def checkpoint_for(settings: Settings) -> Path:
    """Return the checkpoint folder; ConfigError when it belongs to another plan."""
    folder = settings.home / "checkpoints" / f"speed-{settings.topic}-{settings.profile}"
    layout = {
        "layout": LAYOUT,
        "profile": settings.profile,
        "shuffle_partitions": settings.speed_shuffle_partitions,
        "lateness_s": settings.speed_lateness_s,
    }
    marker = folder.with_suffix(".json")
    if marker.exists():
        found = json.loads(marker.read_text())
        if found != layout:
            raise ConfigError(
                f"checkpoint {folder.name} was written for {found}, this is {layout}; "
                'see "incompatible checkpoint" in docs/RUNBOOK.md'
            )
    else:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(layout))
    return folder


@dataclass(frozen=True, slots=True)
class Progress:
    """What Spark last reported of a finished batch, in the terms of a heartbeat."""

    batch: int
    rows_per_s: float
    offsets: Mapping[str, int]
    lag: Mapping[str, int]
    watermark: str

    @classmethod
    def of(cls, report: Mapping[str, Any] | None) -> "Progress":
        """Read `query.lastProgress`; before the first batch everything is empty."""
        if not report or not report.get("sources"):
            return cls(-1, 0.0, {}, {}, "")
        source = report["sources"][0]
        ends, newest = _offsets(source.get("endOffset")), _offsets(source.get("latestOffset"))
        return cls(
            batch=int(report["batchId"]),
            rows_per_s=float(report.get("processedRowsPerSecond") or 0.0),
            offsets=ends,
            lag={part: max(0, newest.get(part, end) - end) for part, end in ends.items()},
            watermark=str(report.get("eventTime", {}).get("watermark", "")),
        )


def _offsets(reported: Any) -> dict[str, int]:
    """Read offsets as Spark reports them: an object, its text, or the text "null" where a restart
    runs a planned batch again.
    """
    found = json.loads(reported) if isinstance(reported, str) else reported
    topics: Mapping[str, Mapping[str, Any]] = found or {}
    return {
        part: int(offset) for partitions in topics.values() for part, offset in partitions.items()
    }


def _watch(
    query: StreamingQuery, writer: SpeedWriter, beats: HeartbeatTopic, stop: threading.Event
) -> None:
    """Beat while the query lives, and log where the newest batch's time went.

    A query that ends by itself is a failure, whatever it says.
    """
    logged = -1
    while not stop.wait(BEAT_S):
        if not query.isActive:
            beats.beat(_heartbeat(query, writer, "failed"))
            if writer.failure is not None:
                raise writer.failure
            raise TransientError(f"the streaming query ended: {query.exception()}")
        writer.keep_to_fences()
        beats.beat(_heartbeat(query, writer, "running"))
        logged = _log_durations(query.lastProgress, logged)
    logger("speed").info("stopping", batch=Progress.of(query.lastProgress).batch)
    query.stop()
    beats.beat(_heartbeat(query, writer, "stopped"))


def _log_durations(report: Mapping[str, Any] | None, logged: int) -> int:
    """Log the newest batch unless that is `logged`; return its number."""
    if not report or int(report["batchId"]) == logged:
        return logged
    spent = report.get("durationMs") or {}
    rows = report.get("numInputRows", 0)
    logger("speed").info("spent", batch=report["batchId"], rows=rows, **spent)
    return int(report["batchId"])


def _heartbeat(query: StreamingQuery, writer: SpeedWriter, state: str) -> Heartbeat:
    progress = Progress.of(query.lastProgress)
    return Heartbeat(
        application=str(query.id),
        host=socket.gethostname(),
        pid=os.getpid(),
        state=state,
        batch=progress.batch,
        beat_ns=time.time_ns(),
        rows_per_s=progress.rows_per_s,
        offsets=progress.offsets,
        lag=progress.lag,
        watermark=progress.watermark,
        fences=writer.fences,
        written=writer.written,
        fenced=writer.fenced,
        rejected=0,
    )
