"""Lets kafka-python return batches of records as Kafka stores them, not an object for each record.

kafka-python still fetches, checks sums, decompresses, and leaves out marks of transactions and
records of aborted ones. It has no setting for that, so `return_batches` replaces a class inside it.
"""

from collections.abc import Iterator

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from truetape.broker.record_batches import RecordBatch
from truetape.host.errors import ConfigError


def return_batches(consumer: KafkaConsumer) -> None:
    """Let `poll` return records whose values are whole batches, each a `RecordBatch`.

    The offset of such a record is the last one of its batch. `max_poll_records` counts batches.
    """
    consumer._fetcher.PartitionRecords = WholeBatches


class WholeBatches(Fetcher.PartitionRecords):  # type: ignore[misc] # kafka has no types
    """The answer for one partition."""

    def _unpack_records(
        self, tp: TopicPartition, records: MemoryRecords, *_: object
    ) -> Iterator[ConsumerRecord]:
        unpacked: Iterator[ConsumerRecord] = super()._unpack_records(
            tp, _Batches(tp, records), None, None
        )
        return unpacked


class _Batches:
    """The batches of an answer, each as if it had one record."""

    def __init__(self, part: TopicPartition, records: MemoryRecords) -> None:
        self._part = part
        self._records = records

    def next_batch(self) -> "_WholeBatch | None":
        batch = self._records.next_batch()
        if batch is None:
            return None
        if batch.magic != _WholeBatch.MAGIC:
            raise ConfigError(
                f"{self._part.topic}/{self._part.partition}@{batch.base_offset} has the format of "
                "messages before Kafka 0.11, without headers; copy the topic's records to a new one"
            )
        return _WholeBatch(self._part.partition, batch._buffer)


class _WholeBatch(DefaultRecordBatch):  # type: ignore[misc] # kafka has no types
    """A batch that iterates as one record."""

    MAGIC = 2
    __slots__ = ("_partition",)

    def __init__(self, partition: int, buffer: bytearray) -> None:
        super().__init__(buffer)
        self._partition = partition

    def __iter__(self) -> Iterator[DefaultRecord]:
        super().__iter__()  # decompresses
        batch = RecordBatch(
            partition=self._partition,
            first_offset=self.base_offset,
            last_offset=self.last_offset,
            stamp_ms=self.max_timestamp,
            has_broker_stamp=self.timestamp_type == self.LOG_APPEND_TIME,
            count=self.records_count,
            records=memoryview(self._buffer)[self._pos :],
        )
        yield DefaultRecord(
            self.size_in_bytes,
            batch.last_offset,
            batch.stamp_ms,
            self.timestamp_type,
            None,
            batch,
            [],
        )
