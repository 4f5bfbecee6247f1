"""The heartbeat: what the streaming driver reports about itself, on a topic of its own.

`lease` writes it; this module reads the newest record of a layer. It reads open transactions too: a
broker that crashes can leave one open for good, which would hide every later heartbeat from readers
of committed records. A driver without the lease cannot append, committed or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from truetape.broker.record_json import decode, wire_name
from truetape.broker.tail import newest_value
from truetape.broker.topics import HEARTBEAT
from truetape.speed.bar_ranges import Span
from truetape.speed.driver import Driver
from truetape.speed.position import NO_LOG, ReadLog, SpeedPosition

CLOCK_NOISE = timedelta(seconds=5)
"""By how much the clocks of two machines may differ before something is wrong."""


class Phase(StrEnum):
    """What a driver is doing; it writes bars while `RUNNING` and `STOPPING` only."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """True if a driver in this phase has ended."""
        return self in (Phase.STOPPED, Phase.FAILED)


BEATING = (Phase.RUNNING, Phase.STOPPING)
"""The phases in which a driver beats every second, and may write bars."""


@dataclass(frozen=True, slots=True)
class UnfinishedWrite:
    """A write that a driver announced and never confirmed before it lost the lease.

    If the driver is frozen between its check and its POST, it may overwrite the bars of `spans`
    with older values whenever it thaws. It checks before every other write, so it can touch no
    other bars.
    """

    epoch: int
    driver: Driver
    spans: tuple[Span, ...]
    batch: int = -1
    """The batch that it was writing, -1 while it rewrote stale bars."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One report of the driver that holds the lease.

    Times are the driver's clock when it writes them; `newest` returns them by the broker's clock.
    """

    layer: str
    epoch: int
    """Counts the holders of the lease."""
    driver: Driver
    command: Annotated[int, wire_name("order")]
    """The number of the command that it runs under."""
    started_ns: int
    beat_ns: int
    state: Phase = Phase.STARTING
    application: str = ""
    """Spark's name for it, which YARN kills it by and the event log is named after."""
    position: SpeedPosition = field(default_factory=SpeedPosition)
    """How far the records are in the served bars, and where the next driver reads on."""
    batch_end_ns: int = 0
    """When it last finished a batch, or had nothing left to read."""
    rows_per_s: float = 0.0
    """Records a second since the heartbeat before."""
    lag: Mapping[str, int] = field(default_factory=dict)
    """Number of records in Kafka that are not in the bars yet, by partition."""
    log: ReadLog = NO_LOG
    """Which log the offsets of the position are of."""
    freshness_s: float | None = None
    """From the newest bar's start to its acknowledgement, in the last batch that wrote any."""
    fences: Mapping[str, int] = field(default_factory=dict)
    writing: tuple[Span, ...] = ()
    """The bars that it may be writing at this moment; empty between two writes."""
    writing_batch: int = -1
    unfinished_writes: Annotated[tuple[UnfinishedWrite, ...], wire_name("suspects")] = ()
    """The writes of earlier drivers that may still arrive."""
    written: int = 0
    fenced: int = 0
    """Bars that it skipped because they were below the fence."""
    rewritten: Annotated[int, wire_name("mended")] = 0
    """Bars that it wrote again because an earlier driver's late write had overwritten them."""

    @property
    def offsets(self) -> Mapping[str, int]:
        """Return the next offset to read, by partition; every earlier record is in the bars."""
        return self.position.offsets

    @property
    def at(self) -> datetime:
        """Return when it was written."""
        return _instant(self.beat_ns)

    def is_ahead(self, now: datetime) -> bool:
        """True if it is from the future of this machine's clock, so that its age says nothing."""
        return self.at - now > CLOCK_NOISE

    def clocks(self, now: datetime) -> str:
        """Return what the two clocks say if the heartbeat is from the future, else ""."""
        if not self.is_ahead(now):
            return ""
        return (
            f"clocks disagree: its heartbeat is of {_text(self.at)}, the clock here says "
            f'{_text(now)}; see "Clocks that disagree" in docs/RUNBOOK.md'
        )

    @property
    def started_at(self) -> datetime:
        """Return when the driver took the lease."""
        return _instant(self.started_ns)

    def beyond_clock(self, now: datetime, slack: timedelta) -> str:
        """Return what of it lies beyond the clock by more than `slack`, "" if nothing does.

        An event time is at most `slack` beyond the clock of the broker, so newer times mean that a
        clock was wrong when the records came.
        """
        if self.position.is_ahead(now, slack):
            return f"its watermark is {self.position.watermark:%Y-%m-%dT%H:%M:%S}Z"
        if self.freshness_s is not None and self.freshness_s < -slack.total_seconds():
            return f"its newest bar starts {-self.freshness_s:,.0f} s in the future"
        return ""

    @property
    def batch_ended_at(self) -> datetime:
        """Return when the driver last finished a batch; 1970 before its first."""
        return _instant(self.batch_end_ns)


def newest(bootstrap: str, layer: str) -> Heartbeat | None:
    """Return a layer's newest heartbeat, None if there is none within the topic's retention.

    Its times are shifted by what the driver's clock is off the broker's, so a wrong clock of the
    driver's host makes it look neither frozen nor busy. Raise TransientError if Kafka does not
    answer.
    """
    newest = newest_value(bootstrap, HEARTBEAT, layer.encode())
    if newest is None:
        return None
    beat = decode(Heartbeat, newest.value)
    return beat if newest.appended_ns is None else by_clock_of_broker(beat, newest.appended_ns)


def by_clock_of_broker(beat: Heartbeat, appended_ns: int) -> Heartbeat:
    """Return a heartbeat as a driver with the broker's clock would have written it."""
    off_ns = appended_ns - beat.beat_ns
    return replace(
        beat,
        beat_ns=appended_ns,
        started_ns=beat.started_ns + off_ns,
        batch_end_ns=beat.batch_end_ns and beat.batch_end_ns + off_ns,
    )


def lag(ends: Mapping[int, int], offsets: Mapping[str, int]) -> dict[str, int]:
    """Return the number of records before `ends` that were not read, by partition.

    `offsets` are the next ones to read, as a heartbeat has them.
    """
    return {str(part): max(0, end - offsets.get(str(part), 0)) for part, end in ends.items()}


def _instant(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%SZ}"
