"""Dead letters: each rejected record once on `trades.rejected`, its bytes and reason kept.

The lake is read, the letters and the offset up to which they were sent are committed in one Kafka
transaction: a run that is killed sends nothing, a run that is repeated sends nothing twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from truetape.errors import TransientError
from truetape.settings import Settings
from truetape.topics import MAX_RECORD_BYTES, REJECTED

if TYPE_CHECKING:
    from kafka import KafkaProducer, TopicPartition

GROUP = "truetape-dead-letters"
TRANSACTIONAL_ID = "truetape-dead-letters"
TRANSACTION_TIMEOUT_MS = 600_000
"""How long all letters of one run may take; below the broker's limit of 15 minutes."""


def send_dead_letters(raw: DataFrame, settings: Settings) -> int:
    """Send what `raw` rejected and was not sent before; return how many letters went out.

    TransientError when Kafka does not answer; nothing was sent then.
    """
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.errors import KafkaError

    own = raw.where(F.col("topic") == settings.topic)
    newest = own.groupBy("partition").agg(F.max("offset").alias("offset")).collect()
    ends = {TopicPartition(settings.topic, row.partition): row.offset + 1 for row in newest}
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
            sent = {part: consumer.committed(part) or 0 for part in ends}
            if sent == ends:
                return 0
            return _send(producer, _letters(own, sent), ends)
        finally:
            producer.close()
            consumer.close()
    except KafkaError as error:
        raise TransientError(f"cannot send dead letters to {REJECTED}: {error}") from error


def _letters(raw: DataFrame, sent: "Mapping[TopicPartition, int]") -> Iterator[Row]:
    """The rejections behind the sent offsets, in the order of their coordinates."""
    fresh = F.lit(False)
    for part, offset in sent.items():
        fresh = fresh | ((F.col("partition") == part.partition) & (F.col("offset") >= offset))
    rows = raw.where(fresh & (F.col("rejections") > 0)).select(
        "topic", "partition", "offset", "key", "value", "feed", F.explode("rejected").alias("why")
    )
    yield from rows.orderBy("partition", "offset", "why.index").toLocalIterator()


def _send(
    producer: "KafkaProducer", letters: Iterable[Row], ends: "Mapping[TopicPartition, int]"
) -> int:
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
        {part: OffsetAndMetadata(end, "", -1) for part, end in ends.items()}, GROUP
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
