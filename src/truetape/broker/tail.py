"""Reads a topic backwards from its end, for the newest record of a key. Decodes nothing."""

from typing import TYPE_CHECKING

from truetape.broker.clients import open_consumer, transient
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

_PAGE = 400
"""Offsets read at once; a record in a transaction takes two, one for the transaction's marker."""
_MAX_PAGES = 100
_MAX_POLLS = 10


def newest_value(bootstrap: str, topic: str, key: bytes) -> bytes | None:
    """Return the newest value of `key` in partition 0, None if the last 40,000 offsets have none.

    Reads records of open and aborted transactions too. Raise TransientError if Kafka does not
    answer.
    """
    from kafka import TopicPartition

    with transient(f"cannot read {topic} at {bootstrap}"):
        consumer = open_consumer(bootstrap)
        try:
            return _newest(consumer, TopicPartition(topic, 0), key)
        finally:
            consumer.close()


def _newest(consumer: "KafkaConsumer", partition: "TopicPartition", key: bytes) -> bytes | None:
    """Search backwards, a page at a time; other keys may share the topic."""
    consumer.assign([partition])
    first = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    for _ in range(_MAX_PAGES):
        begin = max(first, end - _PAGE)
        if begin >= end:
            break
        values = _page(consumer, partition, begin, end, key)
        if values:
            return values[-1]
        end = begin
    return None


def _page(
    consumer: "KafkaConsumer", partition: "TopicPartition", begin: int, end: int, key: bytes
) -> list[bytes]:
    consumer.seek(partition, begin)
    values: list[bytes] = []
    for _ in range(_MAX_POLLS):
        records = consumer.poll(timeout_ms=1_000).get(partition, [])
        values += [record.value for record in records if record.key == key and record.offset < end]
        if consumer.position(partition) >= end:
            return values
    raise TransientError(f"{partition.topic}: no answer at offset {begin}; try again")
