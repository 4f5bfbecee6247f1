"""The driver's protocol: take the lease, serve under it, stop between two batches, report the end.

Imports neither Spark nor InfluxDB nor Kafka: `job` passes in the real ones; the tests' race model
passes in small ones and schedules the steps.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from truetape.host.errors import LeaseLostError, TransientError, TruetapeError, exit_of
from truetape.host.log import logger
from truetape.market.sessions import Venue
from truetape.serving.store import BarStore
from truetape.speed.control_records import ControlRecords, ExitReport
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.lease import CLOCK, Clock, Lease
from truetape.speed.position import ReadLog, SpeedPosition
from truetape.speed.stale_bars import StaleBarRewriter
from truetape.speed.state import SpeedState
from truetape.speed.writer import SpeedWriter

BEAT_S = 1.0
WRITE_ENDS_WITHIN_S = 60.0
"""How long a driver waits for its own write when it stops: all attempts of it."""


class Stream(Protocol):
    """What hands batches of counted records to the writer: an engine."""

    def start(self) -> str:
        """Start the engine and return its name of the application; read nothing yet."""

    def begin(self, position: SpeedPosition, writer: SpeedWriter) -> None:
        """Read from the horizons of a position on, and call the writer with every batch."""

    def check(self) -> None:
        """Raise TransientError if the stream ended by itself, ConfigError if no start can help."""

    def stop(self) -> None:
        """End the stream; no batch is being written."""


class Topic(Protocol):
    """The topic of trades, as a driver compares it with what it has read."""

    def startable(self, position: SpeedPosition) -> SpeedPosition:
        """Return the position to begin with: Kafka may have deleted records since."""

    def lag(self, offsets: Mapping[str, int]) -> Mapping[str, int]:
        """Return the number of records from `offsets` to the end of the topic, by partition."""

    def read_log(self, offsets: Mapping[str, int], *, fresh: bool) -> ReadLog:
        """Return which records of the topic's log were read, up to `offsets`; not `fresh`, as it
        was some seconds ago.
        """


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait before the next step. Others may run meanwhile."""

    seconds: float
    for_late_writes: bool = False
    """Writes of earlier drivers arrive within this time, or their drivers are frozen."""


@dataclass(slots=True)
class DriverRun:
    """One driver, from its start to its exit report. Iterate over `steps`.

    `take_lease` takes the lease from every other driver. `newest_beat` reads the layer's newest
    heartbeat. `write_timeout_s` is how long a write that has left a driver may take to arrive.
    """

    driver: Driver
    records: ControlRecords
    command: int
    after: int | None
    stream: Stream
    topic: Topic
    open_store: Callable[[], AbstractContextManager[BarStore]]
    load_venues: Callable[[], Mapping[str, Venue]]
    write_timeout_s: float
    take_lease: Callable[[], Lease]
    newest_beat: Callable[[], Heartbeat | None]
    new_state: Callable[[SpeedPosition], SpeedState] = SpeedState
    must_stop: Callable[[], bool] = lambda: False
    life_of: Callable[[Driver], Life] = life_of
    clock: Clock = CLOCK
    lease: Lease | None = None
    writer: SpeedWriter | None = None
    lag: Mapping[str, int] = field(default_factory=dict)
    code: int = TransientError.exit_code
    _has_reported: bool = False
    _counted: tuple[float, int] = (float("inf"), 0)

    def steps(self) -> Iterator[Wait]:
        """Run the driver; wait as long as each item says before the next one.

        Ends when it must stop or a newer command arrived. Raises what ended it otherwise. Either
        way the exit report is written before, also after an error that nobody foresaw.
        """
        try:
            reason = self.objection()
            if reason is None:
                reason = yield from self._serve()
        except Exception as error:
            self.report_error(error)
            raise
        self._report_exit(0, reason)

    def report_error(self, error: Exception) -> None:
        """Write the exit report of a driver that an error ends, unless one is written already."""
        if not self._has_reported:
            self._report_exit(*exit_of(error), is_late=isinstance(error, LeaseLostError))

    def objection(self) -> str | None:
        """Return why this driver must not begin: what led to its start is out of date."""
        number = self.records.desired.number
        if number > self.command:
            return f"order {number} came before the start"
        holder = None if self.after is None else self.newest_beat()
        if holder is not None and self.after is not None and holder.epoch > self.after:
            return f"{holder.driver} took the lease before"
        return None

    def _serve(self) -> Generator[Wait, None, str]:
        """Take the lease and stream under it; return why the driver stopped."""
        lease = self.lease = self.take_lease()
        unfinished = lease.takeover.unfinished
        watched = [str(write.driver) for write in unfinished]
        logger("speed").info(
            "took the lease", epoch=lease.epoch, order=self.command, watched=watched
        )
        rewriter = StaleBarRewriter(
            unfinished, self.write_timeout_s, self.life_of, self.clock.monotonic_s
        )
        with self.open_store() as store:
            state = self.new_state(self.topic.startable(lease.takeover.position))
            writer = self.writer = SpeedWriter(
                store, self.records, self.load_venues(), lease, lease.takeover, rewriter, state
            )
            try:
                lease.beat(application=self.stream.start())
                if unfinished:
                    yield from self._wait_for_late_writes(lease)
                writer.take_over()
                self.stream.begin(state.start, writer)
                return (yield from self._stream(lease, writer))
            finally:
                writer.close(WRITE_ENDS_WITHIN_S)

    def _wait_for_late_writes(self, lease: Lease) -> Iterator[Wait]:
        is_over = False
        while not is_over:
            yield Wait(max(0.0, self.write_timeout_s - lease.held_s), for_late_writes=True)
            is_over = lease.held_s >= self.write_timeout_s

    def _stream(self, lease: Lease, writer: SpeedWriter) -> Generator[Wait, None, str]:
        reason = None
        while reason is None:
            yield Wait(BEAT_S)
            if self.must_stop():
                reason = "a signal"
                break
            self._check(writer)
            writer.attend()
            self._beat(lease, writer, Phase.RUNNING)
            reason = self._newer_command()
        logger("speed").info("stopping", why=reason)
        self._stop(lease, writer)
        return reason

    def _check(self, writer: SpeedWriter) -> None:
        """Raise what the writer met if the stream ended by itself: the stream knows only a text."""
        try:
            self.stream.check()
        except TruetapeError:
            if writer.failure is not None:
                raise writer.failure from None
            raise

    def _newer_command(self) -> str | None:
        newer = self.records.desired
        if newer.number <= self.command:
            return None
        return f"order {newer.number} by {newer.who}: {newer.reason}"

    def _stop(self, lease: Lease, writer: SpeedWriter) -> None:
        """Stop between two batches: the batch that is being written is finished."""
        self._beat(lease, writer, Phase.STOPPING)
        if not writer.close(WRITE_ENDS_WITHIN_S):
            raise TransientError(f"a write did not end within {WRITE_ENDS_WITHIN_S:.0f} s")
        self.stream.stop()
        self._beat(lease, writer, Phase.STOPPED)

    def _beat(self, lease: Lease, writer: SpeedWriter, state: Phase) -> None:
        position = writer.position
        self.lag = self.topic.lag(position.offsets)
        changes: dict[str, Any] = {}
        if not any(self.lag.values()):
            changes["batch_end_ns"] = self.clock.now_ns()
        elif writer.batch_end_ns:
            changes["batch_end_ns"] = writer.batch_end_ns
        lease.beat(
            state=state,
            **changes,
            rows_per_s=self._rate(writer.state.records),
            position=position,
            lag=self.lag,
            log=self.topic.read_log(position.offsets, fresh=state is not Phase.RUNNING),
            freshness_s=writer.freshness_s,
            fences=writer.fences,
            written=writer.written,
            fenced=writer.fenced,
            rewritten=writer.rewritten,
        )

    def _rate(self, records: int) -> float:
        """Return the records a second since this was asked before."""
        (before_s, before), now_s = self._counted, self.clock.monotonic_s()
        self._counted = now_s, records
        return (records - before) / (now_s - before_s) if now_s > before_s else 0.0

    def _report_exit(self, code: int, message: str, *, is_late: bool = False) -> None:
        """Write the exit report; log it, since nobody reads it if Kafka is away."""
        self.code, self._has_reported = code, True
        epoch = 0 if self.lease is None else self.lease.epoch
        late = self.lease.unconfirmed if self.lease is not None and is_late else ()
        at = datetime.fromtimestamp(self.clock.now_ns() / 1e9, UTC)
        leave_word(self.records, ExitReport(epoch, self.driver, code, message, at, late))


def leave_word(records: ControlRecords, report: ExitReport) -> None:
    """Write an exit report, and log it: nobody reads it if Kafka is away."""
    try:
        records.write_exit_report(report)
    except Exception as error:  # noqa: BLE001 - the error that ends the driver must not be lost
        logger("speed").warning("exit report not written", error=str(error))
    late = [str(span) for span in report.late_writes]
    logger("speed").info("ended", code=report.code, why=report.message, late_writes=late)


@contextmanager
def reported(records: ControlRecords) -> Iterator[None]:
    """Leave a last word if the block raises; for a driver that does not hold the lease yet."""
    try:
        yield
    except Exception as error:
        code, message = exit_of(error)
        leave_word(records, ExitReport(0, Driver.this(), code, message, datetime.now(UTC)))
        raise
