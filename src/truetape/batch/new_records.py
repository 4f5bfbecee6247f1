"""Asks whether the archive has anything to do, without starting Spark."""

from truetape.broker.offsets import available_offsets
from truetape.host.settings import Settings
from truetape.lake.coverage import last_count


def has_new_records(settings: Settings) -> bool:
    """Say whether Kafka has records that no archive run has finished with.

    What was counted was archived, and its dead letters sent. TransientError when Kafka is away.
    """
    kept = available_offsets(settings.kafka, settings.topic)
    counted = last_count(settings.lake, settings.topic)
    done = {} if counted is None else counted.ends
    return any(done.get(partition, 0) < there.end for partition, there in kept.items())
