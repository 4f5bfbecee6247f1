"""Offsets of the trades' topic, in the lake and in Kafka, by the archive's last count."""

import socket
from contextlib import suppress
from dataclasses import dataclass

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.lake.completeness import Completeness, Hole
from truetape.market.ranges import Range

CONNECT_WITHIN_S = 1.0
"""A page waits no longer for a Kafka that does not answer; clients of it would for half a minute.
"""
_NOTHING = Range(0, 0)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: what Kafka has, and what the lake holds up to offset `counted`."""

    kafka: Range
    counted: int
    found: Completeness

    @property
    def holes(self) -> tuple[Hole, ...]:
        """Return what the lake lacks below the last offset that it holds; what came since is the
        next archive run's.
        """
        return tuple(hole for hole in self.found.holes if hole.offsets.last < self.counted)

    @property
    def awaited(self) -> int:
        """Return how many records the archive's next run brings."""
        return max(0, self.kafka.end - self.counted)

    def missing(self, *, recoverable: bool) -> int:
        """Return how many records its holes have that Kafka still has, or has lost."""
        some = (hole for hole in self.holes if hole.recoverable is recoverable)
        return sum(hole.offsets.size for hole in some)


def partitions(settings: Settings) -> list[Partition]:
    """Ask Kafka, and the lake's last count; TransientError when Kafka does not answer."""
    from truetape.broker.offsets import available_offsets
    from truetape.lake.completeness import completeness
    from truetape.lake.coverage import last_count

    require_kafka(settings)
    counted = last_count(settings.lake, settings.topic)
    kafka = available_offsets(settings.kafka, settings.topic)
    ranges, ends = ({}, {}) if counted is None else (counted.ranges, counted.ends)
    return [
        Partition(kafka.get(part.partition, _NOTHING), ends.get(part.partition, 0), part)
        for part in completeness(settings.topic, ranges, kafka)
    ]


def require_kafka(settings: Settings) -> None:
    """Raise a TransientError when none of the bootstrap servers takes a connection."""
    for address in settings.kafka.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), CONNECT_WITHIN_S):
            return
    raise TransientError(f"no Kafka takes a connection at {settings.kafka}")
