"""Dead letters: each rejected record once on `trades.rejected`, its bytes and reason kept.

The lake is read, the letters and the offset up to which they were sent are committed in one Kafka
transaction: a run that is killed sends nothing, a run that is repeated sends nothing twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from truetape.broker.topic_names import MAX_RECORD_BYTES, REJECTED
from truetape.host.errors import TransientError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from kafka import KafkaProducer, TopicPartition

GROUP = "truetape-dead-letters"
TRANSACTIONAL_ID = "truetape-dead-letters"
TRANSACTION_TIMEOUT_MS = 600_000
"""How long all letters of one run may take; below the broker's limit of 15 minutes."""

Due: TypeAlias = "Mapping[TopicPartition, tuple[int, int]]"
"""By partition, the offsets from the first to below the second: archived, letters not yet sent."""


def send_dead_letters(raw: DataFrame, ends: Mapping[int, int], settings: Settings) -> int:
    """Send what `raw` rejected below `ends` and was not sent before; return how many letters went
    out.

    `ends` is the offset behind the last one held, by partition. Reads only what was not sent yet.
    TransientError when Kafka does not answer; nothing was sent then.
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
            return _send(producer, _letters(raw, due), due) if due else 0
        finally:
            producer.close()
            consumer.close()
    except KafkaError as error:
        raise TransientError(f"cannot send dead letters to {REJECTED}: {error}") from error


def _letters(raw: DataFrame, due: Due) -> Iterator[Row]:
    """The rejections of the offsets due, in the order of their coordinates."""
    # partition by partition: of one condition with "or" in it, Delta would pass over no file
    fresh = [
        raw.where((F.col("topic") == part.topic) & (F.col("partition") == part.partition)).where(
            (F.col("offset") >= begin) & (F.col("offset") < end)
        )
        for part, (begin, end) in due.items()
    ]
    rows = reduce(DataFrame.unionAll, fresh).where("rejections > 0")
    letters = rows.select(
        "topic", "partition", "offset", "key", "value", "feed", F.explode("rejected").alias("why")
    )
    yield from letters.orderBy("partition", "offset", "why.index").toLocalIterator()


def _send(producer: "KafkaProducer", letters: Iterable[Row], due: Due) -> int:
    from kafka.structs import OffsetAndMetadata

    producer.begin_transaction()
    count = 0
    for row in letters:
        producer.send(
            REJECTED,
            key=None if row.key is None else row.key.encode(),
            value=bytes(row.value or b""),
            headers=_headers(row),
        )
        count += 1
    producer.send_offsets_to_transaction(
        {part: OffsetAndMetadata(end, "", -1) for part, (_, end) in due.items()}, GROUP
    )
    producer.commit_transaction()
    return count


def _headers(row: Row) -> list[tuple[str, bytes]]:
    fields = {
        "feed": row.feed or "",
        "reason": row.why.reason,
        "detail": row.why.detail or "",
        "topic": row.topic,
        "partition": str(row.partition),
        "offset": str(row.offset),
        "index": str(row.why["index"]),
    }
    return [(name, value.encode()) for name, value in fields.items()]
