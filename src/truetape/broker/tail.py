"""Reads a topic backwards from its end, for the newest record of a key. Decodes nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetape.broker.clients import open_consumer, transient
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

_PAGE = 400
"""Offsets read at first; a record in a transaction takes two, one for the transaction's marker.
Each page before is twice as long: other keys may share the topic, and a compacted one has gaps."""
_MAX_EMPTY_POLLS = 10
_LOG_APPEND_TIME = 1
_MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class StampedValue:
    """A record's value, and when the broker appended it; None if the producer chose the stamp."""

    value: bytes
    appended_ns: int | None


def newest_value(bootstrap: str, topic: str, key: bytes) -> StampedValue | None:
    """Return the newest value of `key` in partition 0, None if there is none.

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


def _newest(
    consumer: "KafkaConsumer", partition: "TopicPartition", key: bytes
) -> StampedValue | None:
    """Search backwards, a page at a time; other keys may share the topic."""
    consumer.assign([partition])
    first = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    length = _PAGE
    while end > first:
        begin = max(first, end - length)
        values = _page(consumer, partition, begin, end, key)
        if values:
            return values[-1]
        end, length = begin, 2 * length
    return None


def _page(
    consumer: "KafkaConsumer", partition: "TopicPartition", begin: int, end: int, key: bytes
) -> list[StampedValue]:
    consumer.seek(partition, begin)
    values: list[StampedValue] = []
    empty_polls = 0
    while empty_polls < _MAX_EMPTY_POLLS:
        records = consumer.poll(timeout_ms=1_000).get(partition, [])
        empty_polls += not records
        values += [
            StampedValue(record.value, _appended_ns(record))
            for record in records
            if record.key == key and record.offset < end
        ]
        if consumer.position(partition) >= end:
            return values
    raise TransientError(f"{partition.topic}: no answer at offset {begin}; try again")


def _appended_ns(record: "ConsumerRecord") -> int | None:
    is_of_broker = record.timestamp_type == _LOG_APPEND_TIME
    return record.timestamp * _MS_NS if is_of_broker else None
