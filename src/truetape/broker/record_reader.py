"""Reads records at chosen offsets of a topic as Arrow tables, payloads untouched. Decodes nothing.

Of all ways to read Kafka in this process it is the one for bulk: many records a fetch, few calls.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from truetape.broker.clients import open_bulk_consumer, transient
from truetape.host.errors import TransientError
from truetape.market.ranges import Range, Ranges

if TYPE_CHECKING:
    import pyarrow as pa
    from kafka import KafkaConsumer, TopicPartition

    from truetape.broker.record_batches import RecordBatch

TABLE_RECORDS = 100_000
TABLE_BYTES = 64_000_000
"""A table is yielded as soon as it has so many records, or so many bytes."""
ANSWER_WITHIN_S = 30.0
"""How long Kafka may return nothing of what is still to be read."""
_POLL_MS = 500
_LAST_OFFSET = 2**63 - 1


def read_records(
    bootstrap: str, topic: str, wanted: Mapping[int, Ranges], logs: Mapping[int, str]
) -> "Iterator[pa.Table]":
    """Yield the committed records at these offsets, by partition, in tables with the columns of
    `kernel.columns.RECORDS`; each partition's are in the order of their offsets.

    `logs`: the name of a partition's log, which `topic` has in the tables. Offsets without a
    record, such as those of a transaction's marks, are passed over. Raise ConfigError for a record
    that its producer stamped, TransientError if Kafka does not answer or has deleted a wanted one.
    """
    from kafka.errors import OffsetOutOfRangeError

    action = f"cannot read {topic} at {bootstrap}"
    with transient(action), closing(open_bulk_consumer(bootstrap)) as consumer:
        try:
            yield from _Reading(consumer, topic, wanted, logs).tables()
        except OffsetOutOfRangeError as error:
            raise TransientError(
                f"{action}: it deleted records while they were read; run it again: {error}"
            ) from error


class RecordFollower:
    """Reads the committed records of some partitions of a topic from given offsets on, for ever.

    A table holds what came since the last one: at most `most` records, and at least `enough` unless
    these do not come within `pause_s`. So a quiet topic costs little, and a busy one waits for
    nothing.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        offsets: Mapping[int, int],
        *,
        most: int,
        enough: int,
        pause_s: float,
    ) -> None:
        from truetape.kernel.columns import RECORDS

        self._action = f"cannot read {topic} at {bootstrap}"
        self._topic = topic
        self._logs = dict.fromkeys(offsets, topic)
        self._wanted = {
            part: Ranges.between(offset, _LAST_OFFSET) for part, offset in offsets.items()
        }
        self._most = most
        self._enough = enough
        self._pause_s = pause_s
        self._held: list[RecordBatch] = []
        self._rest = RECORDS.empty_table()
        with transient(self._action):
            self._consumer = open_bulk_consumer(bootstrap)
            self._assign(topic, offsets)

    def poll(self, within_s: float) -> "pa.Table | None":
        """Return the next table with the columns of `kernel.columns.RECORDS`; None if nothing came.

        Raise ConfigError for a record that its producer stamped, TransientError if Kafka does not
        answer or has deleted records that were not read.
        """
        from kafka.errors import OffsetOutOfRangeError

        with transient(self._action):
            try:
                self._collect(time.monotonic() + within_s)
            except OffsetOutOfRangeError as error:
                raise TransientError(f"{self._action}: it deleted records: {error}") from error
        return self._next_table()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _collect(self, nothing_until_s: float) -> None:
        """Poll until enough records are held, or the first ones have waited long enough."""
        until_s = time.monotonic() + self._pause_s if self._count else nothing_until_s
        while self._count < self._enough:
            left_ms = int((until_s - time.monotonic()) * 1_000)
            if left_ms <= 0:
                return
            was_empty = not self._count
            for records in self._consumer.poll(timeout_ms=min(left_ms, _POLL_MS)).values():
                self._held += [record.value for record in records]
            if was_empty and self._count:
                until_s = time.monotonic() + self._pause_s

    @property
    def _count(self) -> int:
        """How many records are held; some may be before the first offset."""
        return self._rest.num_rows + sum(map(len, self._held))

    def _next_table(self) -> "pa.Table | None":
        import pyarrow as pa

        from truetape.broker.record_batches import table_of

        table = self._rest
        if self._held:
            held, self._held = self._held, []
            table = pa.concat_tables([table, table_of(held, self._topic, self._logs, self._wanted)])
        self._rest = table.slice(self._most)
        return table.slice(0, self._most) if table.num_rows else None

    def _assign(self, topic: str, offsets: Mapping[int, int]) -> None:
        from kafka import TopicPartition

        parts = {TopicPartition(topic, part): offset for part, offset in offsets.items()}
        self._consumer.assign(list(parts))
        for part, offset in parts.items():
            self._consumer.seek(part, offset)


class _Reading:
    """Reads all partitions at once, each range by range."""

    def __init__(
        self,
        consumer: "KafkaConsumer",
        topic: str,
        wanted: Mapping[int, Ranges],
        logs: Mapping[int, str],
    ) -> None:
        from kafka import TopicPartition

        self._consumer = consumer
        self._topic = topic
        self._wanted = wanted
        self._logs = logs
        self._left: dict[TopicPartition, list[Range]] = {
            TopicPartition(topic, part): list(ranges) for part, ranges in wanted.items() if ranges
        }

    def tables(self) -> "Iterator[pa.Table]":
        """Yield tables until nothing is left to read."""
        from truetape.broker.record_batches import table_of

        held: list[RecordBatch] = []
        count = size = 0
        for batch in self._batches():
            held.append(batch)
            count, size = count + batch.count, size + len(batch.records)
            if count >= TABLE_RECORDS or size >= TABLE_BYTES:
                yield table_of(held, self._topic, self._logs, self._wanted)
                held, count, size = [], 0, 0
        if held:
            yield table_of(held, self._topic, self._logs, self._wanted)

    def _batches(self) -> "Iterator[RecordBatch]":
        """Yield the batches that have wanted records, and perhaps others."""
        self._consumer.assign(list(self._left))
        for part, ranges in self._left.items():
            self._consumer.seek(part, ranges[0].start)
        answered = time.monotonic()
        while self._left:
            before = self._positions()
            for records in self._consumer.poll(timeout_ms=_POLL_MS).values():
                yield from (record.value for record in records)
                answered = time.monotonic()
            self._advance()
            if self._positions() != before:
                answered = time.monotonic()
            else:
                self._require_answer(answered)

    def _positions(self) -> dict["TopicPartition", int]:
        return {part: self._consumer.position(part) for part in self._left}

    def _advance(self) -> None:
        """Go on to the next range of each partition whose present one is read."""
        for part in list(self._left):
            position, ranges = self._consumer.position(part), self._left[part]
            while ranges and ranges[0].end <= position:
                ranges.pop(0)
            if not ranges:
                del self._left[part]
                self._consumer.pause(part)
            elif ranges[0].start > position:
                self._consumer.seek(part, ranges[0].start)

    def _require_answer(self, answered: float) -> None:
        if time.monotonic() - answered > ANSWER_WITHIN_S:
            places = ", ".join(
                f"{part.topic}/{part.partition} at {position}"
                for part, position in self._positions().items()
            )
            raise TransientError(
                f"Kafka returned no record of {places} within {ANSWER_WITHIN_S:.0f} s; run it again"
            )
