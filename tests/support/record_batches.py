"""Batches of records as bytes, as Kafka's brokers send them, and what kafka-python reads there."""

import struct
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

TOPIC = "trades"
GZIP, TRANSACTIONAL, CONTROL, BROKER_STAMPS = 1, 0x10, 0x20, 0x08
ABORT, COMMIT = struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)
"""Keys of the marks that end a transaction."""
_ATTRIBUTES = 21
_CRC = 17

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Written:
    """A record as its producer wrote it. `gap`: offsets before it that compaction removed."""

    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: Headers = ()
    stamp_ms: int = 17
    gap: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that a broker stores together; see `RecordBatch`."""

    records: Sequence[Written]
    first_offset: int = 0
    flags: int = BROKER_STAMPS
    producer: int = -1

    def encoded(self) -> bytes:
        """Return the batch with its head and its sum."""
        is_transactional = bool(self.flags & TRANSACTIONAL)
        builder = DefaultRecordBatchBuilder(
            2, self.flags & GZIP, is_transactional, self.producer, 0, 0, 2**31
        )
        delta = -1
        for record in self.records:
            delta += 1 + record.gap
            made = builder.append(
                delta, record.stamp_ms, record.key, record.value, list(record.headers)
            )
            assert made is not None
        data = bytearray(builder.build())
        data[:8] = struct.pack(">q", self.first_offset)
        [attributes] = struct.unpack_from(">h", data, _ATTRIBUTES)
        struct.pack_into(">h", data, _ATTRIBUTES, attributes | self.flags & ~GZIP)
        struct.pack_into(">I", data, _CRC, calc_crc32c(memoryview(data)[_ATTRIBUTES:]))
        return bytes(data)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker returns for one partition; `aborted` are the producer and the first offset of
    transactions that were aborted.
    """

    batches: Sequence[Batch]
    aborted: Sequence[tuple[int, int]] = ()
    partition: int = 2
    fetched_offset: int = 0
    encoded: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoded", b"".join(batch.encoded() for batch in self.batches))

    def read(self, reader: Any = Fetcher.PartitionRecords) -> list[ConsumerRecord]:
        """Return the committed records as a class of kafka-python reads them."""
        return read(self.encoded, self.partition, reader, self.fetched_offset, self.aborted)


@dataclass(frozen=True, slots=True)
class _Aborted:
    producer_id: int
    first_offset: int


def read(
    data: bytes,
    partition: int,
    reader: Any,
    fetched_offset: int = 0,
    aborted: Iterable[tuple[int, int]] = (),
) -> list[ConsumerRecord]:
    """Return the committed records of an answer's bytes."""
    records = reader(
        fetched_offset,
        TopicPartition(TOPIC, partition),
        MemoryRecords(data),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=deque(_Aborted(*each) for each in aborted),
    )
    taken: list[ConsumerRecord] = records.take()
    return taken


def row_of(record: ConsumerRecord, logs: Mapping[int, str]) -> dict[str, object]:
    """Return a record as a row of `kernel.columns.RECORDS`, read in plain Python."""
    first: dict[str, bytes | None] = {}
    for name, value in record.headers:
        first.setdefault(name, value)
    return {
        "topic": logs[record.partition],
        "partition": record.partition,
        "offset": record.offset,
        "record_ms": record.timestamp,
        "key": _text(record.key),
        "value": record.value,
        "feed": _text(first.get("feed")),
        "received_ns": _long(first.get("received_ns")),
        "day": None,
    }


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _long(value: bytes | None) -> int | None:
    digits = (value or b"").removeprefix(b"-" if (value or b"")[:1] == b"-" else b"+")
    if not digits.isdigit() or len(digits) > 19 or value is None:
        return None
    number = int(value)
    return number if -(2**63) <= number < 2**63 else None
