"""The reader on a real Kafka: the records that a plain consumer of kafka-python returns."""

from pathlib import Path

import pyarrow as pa
import pytest
from kafka import KafkaProducer, TopicPartition

from support.loop import own_settings
from support.record_batches import row_of
from truetape.broker.clients import open_consumer
from truetape.broker.offsets import available_offsets
from truetape.broker.record_reader import read_records
from truetape.host.settings import Settings
from truetape.market.ranges import Ranges

pytestmark = pytest.mark.real

HEADERS = [("feed", b"truetape"), ("received_ns", b"17")]
COUNT = 400


def send_mixed(own: Settings) -> None:
    """Send plain and compressed records, without key, value or headers, and with many headers."""
    for compression in (None, "gzip"):
        producer = KafkaProducer(
            bootstrap_servers=own.kafka, compression_type=compression, linger_ms=50
        )
        for number in range(COUNT):
            producer.send(
                own.topic,
                value=None if number % 49 == 1 else b"%d" % number * (1 + number % 300),
                key=None if number % 7 == 0 else b"\xffS%d" % number if number % 11 == 0 else b"S",
                headers=[] if number % 13 == 0 else HEADERS * (1 + number % 8),
            )
        producer.close()


def send_transactions(own: Settings) -> None:
    """Send transactions of two producers that overlap; every second one is aborted."""
    producers = [
        KafkaProducer(
            bootstrap_servers=own.kafka, transactional_id=f"{own.topic}-{number}", linger_ms=50
        )
        for number in range(2)
    ]
    for producer in producers:
        producer.init_transactions()
    for turn in range(6):
        for producer in producers:
            producer.begin_transaction()
            for number in range(30):
                producer.send(own.topic, b"%d-%d" % (turn, number), headers=HEADERS)
        for place, producer in enumerate(producers):
            producer.flush()
            if (turn + place) % 2:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
    for producer in producers:
        producer.close()


def plain_rows(own: Settings, logs: dict[int, str]) -> list[dict[str, object]]:
    consumer = open_consumer(own.kafka, committed_only=True)
    parts = [TopicPartition(own.topic, part) for part in logs]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    rows = []
    while any(consumer.position(part) < end for part, end in ends.items()):
        for records in consumer.poll(500).values():
            rows += [row_of(record, logs) for record in records]
    consumer.close()
    return rows


def test_every_committed_record_is_read_as_a_plain_consumer_reads_it(
    stack: Settings, tmp_path: Path
) -> None:
    own = own_settings(stack, tmp_path, partitions=2)
    send_mixed(own)
    send_transactions(own)
    spans = available_offsets(own.kafka, own.topic, committed_only=True)
    wanted = {part: Ranges([span]) for part, span in spans.items()}
    logs = {part: f"log-{part}" for part in wanted}

    read = pa.concat_tables(read_records(own.kafka, own.topic, wanted, logs)).to_pylist()

    expected = plain_rows(own, logs)
    for part in logs:
        of_part = [row for row in read if row["partition"] == part]
        assert of_part == [row for row in expected if row["partition"] == part]
    assert len(read) == 2 * COUNT + 6 * 30
