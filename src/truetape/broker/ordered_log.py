"""An ordered log: the records of one partition, which every reader sees in the same order.

Whoever appends a record and then reads as far as it knows every record before it. So processes on
any host can agree on one state without a clock. Knows no meaning of the records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetape.broker.clients import Connection, open_producer, transient
from truetape.host.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

_TIMEOUT_S = 10.0
_POLL_MS = 500


def records_until(
    consumer: "KafkaConsumer", partition: "TopicPartition", end: int
) -> "Iterator[ConsumerRecord]":
    """Yield the records of the assigned partition from the consumer's position up to `end`.

    Raise TransientError if Kafka returns none for ten seconds.
    """
    idle = 0
    while consumer.position(partition) < end:
        records = consumer.poll(timeout_ms=_POLL_MS).get(partition, [])
        idle = 0 if records else idle + 1
        if idle * _POLL_MS > _TIMEOUT_S * 1_000:
            raise TransientError(f"{partition.topic}: no answer at offset {end}; try again")
        yield from records


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record and its place in the log."""

    offset: int
    key: bytes
    value: bytes


class OrderedLog(Connection):
    """Partition 0 of a topic. Not for several threads at once; a context manager.

    Every method raises TransientError if Kafka does not answer, ConfigError without the topic.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(bootstrap)
        self._topic = topic
        self._producer: KafkaProducer | None = None

    def append(self, key: bytes, value: bytes) -> int:
        """Append a record, wait until it is acknowledged and return its offset.

        After a TransientError the record may still be appended.
        """
        with transient(f"cannot write {self._topic} at {self.bootstrap}"):
            self._assigned()  # before the producer, which would wait long for a missing topic
            if self._producer is None:
                self._producer = open_producer(self.bootstrap)
            sent = self._producer.send(self._topic, key=key, value=value, partition=0)
            return int(sent.get(_TIMEOUT_S).offset)

    def read(self, through: int | None = None) -> Iterator[LogRecord]:
        """Yield the records that were not read yet, as far as `through` or to the end."""
        with transient(f"cannot read {self._topic} at {self.bootstrap}"):
            consumer, partition = self._assigned()
            end = consumer.end_offsets([partition])[partition] if through is None else through + 1
            for record in records_until(consumer, partition, end):
                yield LogRecord(record.offset, record.key or b"", record.value or b"")

    def close(self) -> None:
        """Disconnect; a record that was not acknowledged is given up."""
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None
        super().close()

    def _assigned(self) -> "tuple[KafkaConsumer, TopicPartition]":
        from kafka import TopicPartition

        consumer, partition = self.consumer(), TopicPartition(self._topic, 0)
        if not consumer.assignment():
            if not consumer.partitions_for_topic(self._topic):
                raise ConfigError(
                    f"Kafka at {self.bootstrap} has no topic {self._topic}; create it: "
                    "truetape stack up"
                )
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
        return consumer, partition
