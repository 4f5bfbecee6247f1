"""The position: how far the records of each partition are in served bars, and where to read on.

A driver commits it with its heartbeat, so whoever takes the lease has it, on any host.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from truetape.lake.record_identity import HeldRecord

_RESET = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReadLog:
    """The topic's id, and of each partition the last record that was read, as observed."""

    topic_id: str
    records: Mapping[str, HeldRecord]


NO_LOG = ReadLog("", {})


@dataclass(frozen=True, slots=True)
class PartitionPosition:
    """How far one partition is.

    Every record before `offset` is in the served bars, and `closed_ns` is what they have closed.
    `horizon` is the lowest offset that an open window has, `horizon_closed_ns` what the records
    before it have closed. A new driver reads from the horizon, but writes only from the offset on.
    """

    offset: int
    closed_ns: int
    horizon: int
    horizon_closed_ns: int


@dataclass(frozen=True, slots=True)
class SpeedPosition:
    """The position after a batch, by partition; before the first batch there is none."""

    batch: int = -1
    partitions: Mapping[str, PartitionPosition] = field(default_factory=dict)

    @property
    def offsets(self) -> dict[str, int]:
        """Return the next offset of each partition."""
        return {part: place.offset for part, place in self.partitions.items()}

    def is_ahead(self, now: datetime, slack: timedelta) -> bool:
        """True if windows are closed beyond the clock, as no record can close them.

        A reset closes the whole minute that it falls in.
        """
        watermark = self.watermark
        return watermark is not None and watermark > now + slack + _RESET

    @property
    def watermark(self) -> datetime | None:
        """Return the latest instant up to which a partition has closed its windows."""
        closed = [place.closed_ns for place in self.partitions.values()]
        if max(closed, default=0) <= 0:
            return None
        return _EPOCH + timedelta(microseconds=max(closed) // 1_000)

    @property
    def horizons(self) -> dict[str, int]:
        """Return the offset of each partition that a new driver reads from."""
        return {part: place.horizon for part, place in self.partitions.items()}
