"""Dead letters: sends each rejected record once to `trades.rejected`, with its bytes and reason.

Does not read the lake: the caller reads the letters that are due. The letters and the offset up to
which they are sent are committed in one Kafka transaction: a killed run sends nothing, a repeated
run sends nothing twice.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from truetape.broker.clients import open_consumer, transient
from truetape.broker.topics import REJECTED
from truetape.broker.transactions import TransactionalProducer
from truetape.host.settings import Settings
from truetape.market.ranges import Range

GROUP = "truetape-dead-letters"
TRANSACTIONAL_ID = "truetape-dead-letters"
TRANSACTION_TIMEOUT_MS = 600_000
"""How long all letters of one run may take; below the broker's limit of 15 minutes."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One rejection: the record as it arrived, and why event `index` of it was rejected.

    `topic` is the name of the log that the record is in: the topic's own, with `@number` if the
    partition's log was replaced by another.
    """

    topic: str
    partition: int
    offset: int
    index: int
    key: str | None
    value: bytes
    feed: str
    reason: str
    detail: str


Due: TypeAlias = Mapping[tuple[str, int], Range]
"""The archived offsets whose letters were not sent yet, by log and partition."""


def send_dead_letters(
    read_letters: Callable[[Due], Iterable[DeadLetter]], archived: Due, settings: Settings
) -> int:
    """Send the letters of archived offsets that were not sent before; return how many were sent.

    `read_letters` is called only for offsets that are due. Raise TransientError if Kafka does not
    answer; nothing was sent then.
    """
    with transient(f"cannot send dead letters to {REJECTED}"):
        # fence first: no earlier run can still commit offsets behind the ones read below
        producer = TransactionalProducer.open(
            settings.kafka, TRANSACTIONAL_ID, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS
        )
        try:
            due = _due(settings, archived)
            return _send(producer, read_letters(due), settings.topic, due) if due else 0
        finally:
            producer.close()


def _group(topic: str, log: str) -> str:
    """Return the group under which the offsets of a log are committed: Kafka has one offset of a
    group and partition, so each generation has a group.
    """
    return GROUP + log.removeprefix(topic)


def _due(settings: Settings, archived: Due) -> dict[tuple[str, int], Range]:
    from kafka import TopicPartition

    due = {}
    for log in sorted({log for log, _ in archived}):
        with closing(open_consumer(settings.kafka, group=_group(settings.topic, log))) as consumer:
            for place, span in archived.items():
                if place[0] == log:
                    sent = consumer.committed(TopicPartition(settings.topic, place[1])) or 0
                    if max(sent, span.start) < span.end:
                        due[place] = Range(max(sent, span.start), span.end)
    return due


def _send(
    producer: TransactionalProducer, letters: Iterable[DeadLetter], topic: str, due: Due
) -> int:
    count = 0
    with producer.transaction():
        for letter in letters:
            key = None if letter.key is None else letter.key.encode()
            producer.send(REJECTED, letter.value, key=key, headers=_headers(letter))
            count += 1
        for log in sorted({log for log, _ in due}):
            ends = {part: span.end for (name, part), span in due.items() if name == log}
            producer.send_offsets(_group(topic, log), topic, ends)
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
