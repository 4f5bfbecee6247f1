"""Asks Kafka which offsets of a topic it has. Reads no record."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetape.broker.topic_names import CONNECT_WITHIN_MS
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

_MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What Kafka has of a partition: from offset `begin` to the one before `end`."""

    begin: int
    end: int


def kept_offsets(bootstrap: str, topic: str) -> dict[int, Kept]:
    """Return what Kafka has of each partition, empty ones included; no topic has no partitions.

    TransientError when Kafka does not answer.
    """
    with _asking(bootstrap, topic) as (consumer, parts):
        begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        return {part.partition: Kept(begins[part], ends[part]) for part in parts}


def offsets_since(bootstrap: str, topic: str, instant_ns: int) -> dict[int, int]:
    """Return, by partition, the first offset that Kafka stamped at an instant or later: the end
    where there is none yet, the first it has where the instant is older.

    TransientError when Kafka does not answer.
    """
    # whole milliseconds: what is stamped in the middle of one is stamped at its start
    instant_ms = max(0, -(-instant_ns // _MS_NS))
    with _asking(bootstrap, topic) as (consumer, parts):
        ends = consumer.end_offsets(parts)
        found = consumer.offsets_for_times(dict.fromkeys(parts, instant_ms))
        return {
            part.partition: ends[part] if found[part] is None else found[part].offset
            for part in parts
        }


@contextmanager
def _asking(bootstrap: str, topic: str) -> "Iterator[tuple[KafkaConsumer, list[TopicPartition]]]":
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            bootstrap_timeout_ms=CONNECT_WITHIN_MS,
        )
        try:
            numbers = consumer.partitions_for_topic(topic) or ()
            yield consumer, [TopicPartition(topic, number) for number in numbers]
        finally:
            consumer.close()
    except KafkaError as error:
        raise TransientError(
            f"cannot ask {bootstrap} for the offsets of {topic}: {error}"
        ) from error
