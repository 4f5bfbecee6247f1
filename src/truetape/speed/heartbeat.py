"""The heartbeat: what the streaming driver says about itself, on a topic of its own.

Written under the lease (`lease`), read here from the tail: only a layer's newest record matters.
Read whether its transaction is finished or not: a broker that crashes can leave one open for good,
and nobody would hear a heartbeat again. A fenced driver cannot append, committed or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from truetape.broker.tail import newest_value
from truetape.broker.topics import HEARTBEAT
from truetape.speed.bar_ranges import Span
from truetape.speed.driver import Driver
from truetape.speed.record_json import decode


class Phase(StrEnum):
    """What a driver is doing; it writes bars while `RUNNING` and `STOPPING` only."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Say whether this is a driver's last word."""
        return self in (Phase.STOPPED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A driver that was fenced in the middle of a write and may still be alive.

    Frozen between its check and its POST, it may overwrite the bars of `spans` with older values
    whenever it thaws. It checks before every other write, so these are all it can touch.
    """

    epoch: int
    driver: Driver
    spans: tuple[Span, ...]
    batch: int = -1
    """The batch that it was writing, -1 for bars that it was mending."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One report of the driver that holds the lease. Times are the driver's clock."""

    layer: str
    epoch: int
    """Counts the holders of the lease."""
    driver: Driver
    order: int
    """The number of the order it runs under."""
    started_ns: int
    beat_ns: int
    state: Phase = Phase.STARTING
    application: str = ""
    """Spark's name for it: what YARN kills, and what the event log is called."""
    batch: int = -1
    batch_end_ns: int = 0
    """When it last finished a batch, also one without rows."""
    rows_per_s: float = 0.0
    offsets: Mapping[str, int] = field(default_factory=dict)
    """The next offset to read, by partition; what lies before is in the bars."""
    lag: Mapping[str, int] = field(default_factory=dict)
    """Records in Kafka that are not in the bars, by partition."""
    watermark: str = ""
    freshness_s: float | None = None
    """From the newest bar's start to its acknowledgement, in the last batch that wrote any."""
    fences: Mapping[str, int] = field(default_factory=dict)
    writing: tuple[Span, ...] = ()
    """The bars that it may be writing at this moment; none between two writes."""
    writing_batch: int = -1
    suspects: tuple[Suspect, ...] = ()
    """The earlier drivers whose late writes it looks out for."""
    written: int = 0
    fenced: int = 0
    """Bars that it left alone, since they were below the fence."""
    mended: int = 0
    """Bars that it wrote anew after an earlier driver's late write."""

    @property
    def total_lag(self) -> int:
        """Return how many records Kafka holds that are not in the bars."""
        return sum(self.lag.values())

    @property
    def at(self) -> datetime:
        """Return when it was written."""
        return _instant(self.beat_ns)

    @property
    def started_at(self) -> datetime:
        """Return when the driver took the lease."""
        return _instant(self.started_ns)

    @property
    def batch_ended_at(self) -> datetime:
        """Return when the driver last finished a batch; 1970 before its first."""
        return _instant(self.batch_end_ns)


def newest(bootstrap: str, layer: str) -> Heartbeat | None:
    """Return a layer's newest heartbeat, None where there is none within the topic's retention.

    TransientError when Kafka does not answer.
    """
    value = newest_value(bootstrap, HEARTBEAT, layer.encode())
    return None if value is None else decode(Heartbeat, value)


def lag(ends: Mapping[int, int], offsets: Mapping[str, int]) -> dict[str, int]:
    """Return how many records of each partition lie before `ends` and were not read.

    `offsets` are the next ones to read, as a heartbeat has them.
    """
    return {str(part): max(0, end - offsets.get(str(part), 0)) for part, end in ends.items()}


def _instant(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)
