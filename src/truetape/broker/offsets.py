"""Which offsets of a topic Kafka has, since when, and of which log. Reads no payload."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from truetape.broker.clients import Connection, open_admin, transient
from truetape.host.errors import TransientError
from truetape.market.ranges import Range

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

READ_WITHIN_S = 20.0
"""How long reading single records may take."""
_MS_NS = 1_000_000
_POLL_MS = 500


class TopicOffsets(Connection):
    """Asks Kafka for the offsets of one topic, by partition; a topic that is missing has none.

    Every method raises TransientError if Kafka does not answer.
    """

    def __init__(self, bootstrap: str, topic: str, *, committed_only: bool = False) -> None:
        """`committed_only`: the offsets end where the first open transaction begins."""
        super().__init__(
            bootstrap, committed_only=committed_only, fetch_bytes=1
        )  # `stamps` needs one record, not a megabyte
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

    def stamps(self, offsets: Mapping[int, int]) -> dict[int, int | None]:
        """Return Kafka's stamp of the record at one offset of each partition, in milliseconds; None
        if Kafka has a later record there. Kafka must have a record at that offset or after it.
        """
        from kafka import TopicPartition

        waiting = {TopicPartition(self.topic, part): offset for part, offset in offsets.items()}
        stamps: dict[int, int | None] = {}
        with self._transient():
            consumer = self.consumer()
            consumer.assign(list(waiting))
            for part, offset in waiting.items():
                consumer.seek(part, offset)
            deadline = time.monotonic() + READ_WITHIN_S
            while waiting:
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"Kafka at {self.bootstrap} returned no record of {self.topic} at "
                        f"{offsets} within {READ_WITHIN_S:.0f} s"
                    )
                for part, records in consumer.poll(timeout_ms=_POLL_MS, max_records=1).items():
                    if part in waiting and records:
                        first = records[0]
                        exact = first.offset == waiting.pop(part)
                        stamps[part.partition] = first.timestamp if exact else None
                        consumer.pause(part)
            consumer.unsubscribe()
        return stamps

    def _partitions(self, consumer: "KafkaConsumer") -> "list[TopicPartition]":
        from kafka import TopicPartition

        numbers = consumer.partitions_for_topic(self.topic) or ()
        return [TopicPartition(self.topic, number) for number in numbers]

    def _transient(self) -> AbstractContextManager[None]:
        return transient(f"cannot read the offsets of {self.topic} at {self.bootstrap}")


def available_offsets(
    bootstrap: str, topic: str, *, committed_only: bool = False
) -> dict[int, Range]:
    """Return `TopicOffsets.available` of a topic."""
    with TopicOffsets(bootstrap, topic, committed_only=committed_only) as offsets:
        return offsets.available()


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Return `TopicOffsets.ends` of a topic."""
    with TopicOffsets(bootstrap, topic) as offsets:
        return offsets.ends()


def offsets_since(bootstrap: str, topic: str, instant_ns: int) -> dict[int, int]:
    """Return `TopicOffsets.since` of a topic."""
    with TopicOffsets(bootstrap, topic) as offsets:
        return offsets.since(instant_ns)


def topic_id(bootstrap: str, topic: str) -> str | None:
    """Return the id that Kafka gave a topic when it was created; None if there is no such topic.

    A topic that is deleted and created again has another id. Raise TransientError if Kafka does not
    answer.
    """
    with transient(f"cannot describe {topic} at {bootstrap}"), open_admin(bootstrap) as admin:
        (described,) = admin.describe_topics([topic])
    return None if described["topic_id"] is None else str(described["topic_id"])
