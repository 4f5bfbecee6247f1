"""Dead letters: sends each rejected record once to `trades.rejected`, with its bytes and reason.

Does not read the lake: the caller reads the letters that are due. The letters and the offset up to
which they are sent are committed in one Kafka transaction: a killed run sends nothing, a repeated
run sends nothing twice.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from truetape.broker.clients import open_consumer, transient
from truetape.broker.topics import REJECTED
from truetape.broker.transactions import TransactionalProducer
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from kafka import KafkaConsumer

GROUP = "truetape-dead-letters"
TRANSACTIONAL_ID = "truetape-dead-letters"
TRANSACTION_TIMEOUT_MS = 600_000
"""How long all letters of one run may take; below the broker's limit of 15 minutes."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One rejection: the record as it arrived, and why event `index` of it was rejected."""

    topic: str
    partition: int
    offset: int
    index: int
    key: str | None
    value: bytes
    feed: str
    reason: str
    detail: str


Due: TypeAlias = Mapping[int, tuple[int, int]]
"""By partition, the archived offsets `[first, end)` whose letters were not sent yet."""


def send_dead_letters(
    read_letters: Callable[[Due], Iterable[DeadLetter]],
    ends: Mapping[int, int],
    settings: Settings,
) -> int:
    """Send the letters below `ends` that were not sent before; return how many were sent.

    `ends` is the offset behind the last archived one, by partition. `read_letters` is called only
    for offsets that are due. Raise TransientError if Kafka does not answer; nothing was sent then.
    """
    with transient(f"cannot send dead letters to {REJECTED}"):
        consumer = open_consumer(settings.kafka, group=GROUP)
        try:
            # fence first: no earlier run can still commit offsets behind the ones read below
            producer = TransactionalProducer.open(
                settings.kafka, TRANSACTIONAL_ID, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS
            )
            try:
                due = _due(consumer, settings.topic, ends)
                return _send(producer, read_letters(due), settings.topic, due) if due else 0
            finally:
                producer.close()
        finally:
            consumer.close()


def _due(consumer: "KafkaConsumer", topic: str, ends: Mapping[int, int]) -> Due:
    from kafka import TopicPartition

    sent = {part: consumer.committed(TopicPartition(topic, part)) or 0 for part in ends}
    return {part: (sent[part], end) for part, end in ends.items() if sent[part] < end}


def _send(
    producer: TransactionalProducer, letters: Iterable[DeadLetter], topic: str, due: Due
) -> int:
    count = 0
    with producer.transaction():
        for letter in letters:
            key = None if letter.key is None else letter.key.encode()
            producer.send(REJECTED, letter.value, key=key, headers=_headers(letter))
            count += 1
        producer.send_offsets(GROUP, topic, {part: end for part, (_, end) in due.items()})
    return count


def _headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    fields = {
        "feed": letter.feed,
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "index": str(letter.index),
    }
    return [(name, value.encode()) for name, value in fields.items()]
