"""The driver of the speed layer: its protocol on an engine, Kafka and the bar store.

Decides nothing; `protocol` does. Exit codes: 0 asked to stop, 75 a server was away or the lease was
lost, 78 configuration, 1 an error that nobody foresaw, whose traceback is in the log.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import Protocol

from truetape.broker.control_topic import ControlTopic
from truetape.broker.offsets import TopicOffsets
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.host import profiles, venues
from truetape.host.log import logger
from truetape.host.process import event_of_signals
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore
from truetape.speed import heartbeat
from truetape.speed.control_records import ControlRecords
from truetape.speed.counting import CountingRules
from truetape.speed.driver import Driver
from truetape.speed.lease import Lease
from truetape.speed.metrics import EVERY_S, BarCounts, MetricsWriter, points
from truetape.speed.progress import BatchReport
from truetape.speed.protocol import DriverRun, Stream, Wait, reported
from truetape.speed.trades_topic import TradesTopic
from truetape.speed.writer import SpeedWriter

EXIT_WITHIN_S = 60.0
"""How long to wait for an engine that hangs, once the exit report is written."""


class Engine(Stream, Protocol):
    """A stream that a process ends with."""

    def close(self) -> None:
        """End all that the engine started."""


def run(settings: Settings, command: int | None = None, after: int | None = None) -> None:
    """Serve until SIGTERM, SIGINT or a command newer than `command` (None: the newest one now).

    With `after`, leave the lease alone if its holder has a later epoch: whoever decided to start
    this driver had not seen that holder. Whatever ends it, also an error that nobody foresaw, is in
    an exit report on the control topic. If the stream ends by itself, raise what its writer met,
    else TransientError.
    """
    stop = event_of_signals()
    with (
        ControlTopic(settings.kafka) as control,
        TopicOffsets(settings.kafka, settings.topic) as offsets,
    ):
        records = ControlRecords(control, settings.topic)
        with reported(records):
            number = records.refresh().desired.number if command is None else command
            engine = engine_of(settings)
        topic = TradesTopic(settings, offsets)
        driver = _driver_run(
            settings, records, engine, topic, number=number, after=after, must_stop=stop.is_set
        )
        try:
            with closing(_Reports(settings)) as reports:
                for wait in driver.steps():
                    reports.write(driver)
                    _wait(wait, stop)
        except Exception as error:
            driver.report_error(error)
            raise
        finally:
            _leave(driver, engine)


def engine_of(settings: Settings) -> Engine:
    """Return the engine that the settings name. Only the engine `spark` imports Spark."""
    rules = rules_of(settings)
    if settings.speed_engine == "direct":
        from truetape.speed.direct_stream import DirectStream

        return DirectStream(settings, rules)
    from truetape.speed.spark_stream import SparkStream

    return SparkStream(settings, rules)


def rules_of(settings: Settings) -> CountingRules:
    """Return what the settings say about counting."""
    return CountingRules(
        {name: load_contract(name) for name in settings.feeds},
        profiles.load(settings.profile),
        Limits.of(settings),
        settings.speed_lateness_s * SECOND_NS,
    )


def _driver_run(
    settings: Settings,
    records: ControlRecords,
    engine: Engine,
    topic: TradesTopic,
    *,
    number: int,
    after: int | None,
    must_stop: Callable[[], bool],
) -> DriverRun:
    def newest_beat() -> heartbeat.Heartbeat | None:
        return heartbeat.newest(settings.kafka, settings.topic)

    def take_lease() -> Lease:
        topic.require_readable(newest_beat())
        return Lease.take(settings, records, number)

    return DriverRun(
        driver=Driver.this(),
        records=records,
        command=number,
        after=after,
        stream=engine,
        topic=topic,
        open_store=lambda: closing(open_store(settings)),
        load_venues=venues.venues,
        write_timeout_s=settings.write_timeout_s,
        take_lease=take_lease,
        newest_beat=newest_beat,
        must_stop=must_stop,
    )


def _wait(wait: Wait, stop: threading.Event) -> None:
    """Wait; a signal ends the wait early, but every later wait is waited for."""
    time.sleep(wait.seconds) if stop.is_set() else stop.wait(wait.seconds)


def _leave(driver: DriverRun, engine: Engine) -> None:
    """Disconnect from Kafka and end the engine; leave one that hangs behind after a while."""
    timer = threading.Timer(EXIT_WITHIN_S, os._exit, [driver.code])
    timer.daemon = True
    timer.start()
    if driver.lease is not None:
        driver.lease.close()
    engine.close()


class _Reports:
    """Metrics and log lines about the batches, beside the heartbeat."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: BarStore | None = None
        self._metrics: MetricsWriter | None = None
        self._offered_s = time.monotonic()
        self._waiting: list[BatchReport] = []
        self._offered_counts = BarCounts()

    def write(self, driver: DriverRun) -> None:
        """Log the newest batches, and every `EVERY_S` write what the batches did since."""
        writer = driver.writer
        if writer is None:
            return
        while writer.reports:
            report = writer.reports.popleft()
            self._waiting.append(report)
            logger("speed").debug("batch", **asdict(report))
        if time.monotonic() - self._offered_s >= EVERY_S:
            self._offer(writer, sum(driver.lag.values()))

    def close(self) -> None:
        """Write the last metrics and disconnect."""
        if self._metrics is not None:
            self._metrics.close()
        if self._store is not None:
            self._store.close()

    def _offer(self, writer: SpeedWriter, lag: int) -> None:
        self._offered_s = time.monotonic()
        counts = BarCounts(writer.written, writer.fenced, writer.rewritten)
        batch = points(
            self._waiting,
            (self._offered_counts, counts),
            lag,
            writer.freshness_s,
            time.time_ns(),
            topic=self._settings.topic,
            watermark=writer.position.watermark,
        )
        if self._writer().offer(batch):
            self._offered_counts, self._waiting = counts, []

    def _writer(self) -> MetricsWriter:
        if self._metrics is None:
            self._store = open_store(self._settings)
            self._metrics = MetricsWriter(self._store)
        return self._metrics
