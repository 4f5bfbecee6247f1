"""What the backfill page starts from: the offsets of each partition, in the lake and in Kafka."""

from dataclasses import dataclass

from truetape.batch.backfill_request import FORM
from truetape.console.overview import require_kafka
from truetape.settings import Settings

FIELDS = FORM
"""The form, field by field, as the DAG has it."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: what Kafka has, what the lake holds, and what it lacks of either kind.

    `awaited` are the records behind the last one held: the archive's next run brings them.
    """

    number: int
    kafka_first: int
    kafka_end: int
    held: int
    missing: int
    lost: int
    awaited: int


def partitions(settings: Settings) -> list[Partition]:
    """Count by the archive's last count; TransientError when Kafka does not answer."""
    from truetape.batch.counted import last_count
    from truetape.batch.kafka_offsets import kept_offsets
    from truetape.batch.lake import Lake
    from truetape.batch.offsets import completeness

    require_kafka(settings)
    counted = last_count(Lake(settings.lake), settings.topic)
    kafka = kept_offsets(settings.kafka, settings.topic)
    ranges = {} if counted is None else counted.ranges
    ends = {} if counted is None else counted.ends
    found = []
    for part in completeness(settings.topic, ranges, kafka):
        kept, behind = kafka.get(part.partition), ends.get(part.partition, 0)
        sizes = {True: 0, False: 0}
        for hole in part.holes:
            if hole.last < behind:
                sizes[hole.recoverable] += hole.last - hole.first + 1
        found.append(
            Partition(
                part.partition,
                kafka_first=0 if kept is None else kept.begin,
                kafka_end=0 if kept is None else kept.end,
                held=part.records,
                missing=sizes[True],
                lost=sizes[False],
                awaited=0 if kept is None else max(0, kept.end - behind),
            )
        )
    return found
