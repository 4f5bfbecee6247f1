"""Offsets of the trades topic, in the lake and in Kafka, by the archive's last count.

Only counts; a backfill fetches what is missing.
"""

import socket
from contextlib import suppress
from dataclasses import dataclass

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.lake.completeness import Completeness, Hole
from truetape.market.ranges import Range

CONNECT_WITHIN_S = 1.0
"""How long a page waits for Kafka to accept a connection; a Kafka client would wait for 30 s."""
_NOTHING = Range(0, 0)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: the offsets that Kafka has, and what the lake has up to offset `counted`."""

    kafka: Range
    counted: int
    lake: Completeness

    @property
    def holes(self) -> tuple[Hole, ...]:
        """Return the offset ranges that the lake lacks below the last offset that it has.

        Later offsets belong to the next archive run.
        """
        return tuple(hole for hole in self.lake.holes if hole.offsets.last < self.counted)

    @property
    def awaited(self) -> int:
        """Return how many records the next archive run will add."""
        return max(0, self.kafka.end - self.counted)

    def missing(self, *, recoverable: bool) -> int:
        """Return how many records are missing that Kafka still has (recoverable), or has lost."""
        holes = (hole for hole in self.holes if hole.recoverable is recoverable)
        return sum(hole.offsets.size for hole in holes)


def partitions(settings: Settings) -> list[Partition]:
    """Compare Kafka's offsets with the lake's last count. Raise TransientError if Kafka is away."""
    from truetape.broker.offsets import available_offsets
    from truetape.lake.completeness import completeness
    from truetape.lake.coverage import OffsetCount, last_count
    from truetape.lake.generations import read_generations

    require_kafka(settings)
    counted = last_count(settings.lake, settings.topic)
    kafka = available_offsets(settings.kafka, settings.topic)
    if counted is None:
        counted = OffsetCount(read_generations(settings.lake, settings.topic), "", 0, {})
    ends = counted.ends
    return [
        Partition(kafka.get(part.partition, _NOTHING), ends.get(part.partition, 0), part)
        for part in completeness(counted.generations.log, counted.ranges, kafka)
    ]


def require_kafka(settings: Settings) -> None:
    """Raise TransientError if no bootstrap server accepts a connection."""
    for address in settings.kafka.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), CONNECT_WITHIN_S):
            return
    raise TransientError(f"no Kafka server accepts a connection at {settings.kafka}")
