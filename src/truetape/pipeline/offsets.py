"""Offsets of the trades topic, in the lake and in Kafka, by the archive's last count.

Only counts; a backfill fetches what is missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from truetape.host.settings import Settings
from truetape.lake.completeness import Completeness, Hole
from truetape.market.ranges import Range
from truetape.market.resolution import SECOND_NS

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
        return max(0, self.kafka.end - max(self.counted, self.kafka.start))

    @property
    def is_replaced(self) -> bool:
        """True if Kafka has fewer records than the lake has: it gives these offsets out anew.

        Offsets that have passed the lake's again look alike here; the archive compares the records.
        """
        return self.kafka.end < self.counted

    def missing(self, *, recoverable: bool) -> int:
        """Return how many records are missing that Kafka still has (recoverable), or has lost."""
        holes = (hole for hole in self.holes if hole.recoverable is recoverable)
        return sum(hole.offsets.size for hole in holes)


def partitions(settings: Settings) -> list[Partition]:
    """Compare Kafka's offsets with the lake's last count. Raise TransientError if Kafka is away."""
    from truetape.broker.clients import require_listener
    from truetape.broker.offsets import available_offsets
    from truetape.lake.completeness import completeness
    from truetape.lake.coverage import OffsetCount, last_count
    from truetape.lake.generations import read_generations

    require_listener(settings.kafka)
    counted = last_count(settings.lake, settings.topic)
    kafka = available_offsets(settings.kafka, settings.topic)
    if counted is None:
        counted = OffsetCount(read_generations(settings.lake, settings.topic), "", 0, {})
    ends = counted.ends
    return [
        Partition(kafka.get(part.partition, _NOTHING), ends.get(part.partition, 0), part)
        for part in completeness(counted.generations.log, counted.ranges, kafka)
    ]


def overdue_records(settings: Settings, parts: Iterable[Partition], before: datetime) -> int:
    """Return how many records Kafka received before an instant, and the archive has not counted.

    Raise TransientError if Kafka is away.
    """
    from truetape.broker.offsets import offsets_since

    late = [part for part in parts if part.awaited]
    if not late:
        return 0
    since = offsets_since(settings.kafka, settings.topic, int(before.timestamp()) * SECOND_NS)
    return sum(
        max(0, since.get(part.lake.partition, 0) - max(part.counted, part.kafka.start))
        for part in late
    )
