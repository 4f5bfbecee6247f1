"""Which offsets of a topic Kafka has, and since when. Reads no record."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from truetape.broker.clients import Connection, transient
from truetape.market.ranges import Range

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

_MS_NS = 1_000_000


class TopicOffsets(Connection):
    """Asks Kafka for the offsets of one topic, by partition; a topic that is missing has none.

    Every method raises TransientError if Kafka does not answer.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(bootstrap)
        self.topic = topic

    def available(self) -> dict[int, Range]:
        """Return the offsets that Kafka has, of empty partitions too."""
        with self._transient():
            consumer = self.consumer()
            parts = self._partitions(consumer)
            begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
            return {part.partition: Range(begins[part], ends[part]) for part in parts}

    def ends(self) -> dict[int, int]:
        """Return the next offset."""
        with self._transient():
            consumer = self.consumer()
            ends = consumer.end_offsets(self._partitions(consumer))
            return {part.partition: end for part, end in ends.items()}

    def since(self, instant_ns: int) -> dict[int, int]:
        """Return the first offset that the broker stamped at an instant or later.

        That is the end if there is none yet, and the first offset if the instant is older.
        """
        # whole milliseconds: a record in the middle of a millisecond is stamped with its start
        instant_ms = max(0, -(-instant_ns // _MS_NS))
        with self._transient():
            consumer = self.consumer()
            parts = self._partitions(consumer)
            ends = consumer.end_offsets(parts)
            matches = consumer.offsets_for_times(dict.fromkeys(parts, instant_ms))
            return {
                part.partition: ends[part] if matches[part] is None else matches[part].offset
                for part in parts
            }

    def _partitions(self, consumer: "KafkaConsumer") -> "list[TopicPartition]":
        from kafka import TopicPartition

        numbers = consumer.partitions_for_topic(self.topic) or ()
        return [TopicPartition(self.topic, number) for number in numbers]

    def _transient(self) -> AbstractContextManager[None]:
        return transient(f"cannot read the offsets of {self.topic} at {self.bootstrap}")


def available_offsets(bootstrap: str, topic: str) -> dict[int, Range]:
    """Return `TopicOffsets.available` of a topic."""
    with TopicOffsets(bootstrap, topic) as offsets:
        return offsets.available()


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Return `TopicOffsets.ends` of a topic."""
    with TopicOffsets(bootstrap, topic) as offsets:
        return offsets.ends()


def offsets_since(bootstrap: str, topic: str, instant_ns: int) -> dict[int, int]:
    """Return `TopicOffsets.since` of a topic."""
    with TopicOffsets(bootstrap, topic) as offsets:
        return offsets.since(instant_ns)
