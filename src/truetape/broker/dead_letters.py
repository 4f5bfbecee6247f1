"""Dead letters: sends each rejected record once to `trades.rejected`, with its bytes and reason.

Does not read the lake: the caller reads the letters that are due. The letters and the offset up to
which they are sent are committed in one Kafka transaction: a killed run sends nothing, a repeated
run sends nothing twice.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from truetape.broker.topic_names import MAX_RECORD_BYTES, REJECTED
from truetape.host.errors import TransientError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from kafka import KafkaProducer, TopicPartition

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
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.errors import KafkaError

    parts = {TopicPartition(settings.topic, number): end for number, end in ends.items()}
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka, group_id=GROUP, enable_auto_commit=False
        )
        producer = KafkaProducer(
            bootstrap_servers=settings.kafka,
            transactional_id=TRANSACTIONAL_ID,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            max_request_size=MAX_RECORD_BYTES,
        )
        try:
            producer.init_transactions()
            sent = {part: consumer.committed(part) or 0 for part in parts}
            due = {part: (sent[part], end) for part, end in parts.items() if sent[part] < end}
            if not due:
                return 0
            letters = read_letters({part.partition: offsets for part, offsets in due.items()})
            return _send(producer, letters, {part: end for part, (_, end) in due.items()})
        finally:
            producer.close()
            consumer.close()
    except KafkaError as error:
        raise TransientError(f"cannot send dead letters to {REJECTED}: {error}") from error


def _send(
    producer: "KafkaProducer",
    letters: Iterable[DeadLetter],
    ends: "Mapping[TopicPartition, int]",
) -> int:
    from kafka.structs import OffsetAndMetadata

    producer.begin_transaction()
    count = 0
    for letter in letters:
        key = None if letter.key is None else letter.key.encode()
        producer.send(REJECTED, key=key, value=letter.value, headers=_headers(letter))
        count += 1
    producer.send_offsets_to_transaction(
        {part: OffsetAndMetadata(end, "", -1) for part, end in ends.items()}, GROUP
    )
    producer.commit_transaction()
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
