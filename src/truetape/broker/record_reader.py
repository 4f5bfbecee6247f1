"""Reads records at chosen offsets of a topic as Arrow tables, payloads untouched. Decodes nothing.

Of all ways to read Kafka in this process it is the one for bulk: many records a fetch, few calls.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from truetape.broker.clients import open_bulk_consumer, transient
from truetape.host.errors import ConfigError, TransientError
from truetape.market.ranges import Range, Ranges

if TYPE_CHECKING:
    import pyarrow as pa
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

TABLE_RECORDS = 100_000
TABLE_BYTES = 64_000_000
"""A table is yielded as soon as it has so many records, or so many bytes of payloads."""
ANSWER_WITHIN_S = 30.0
"""How long Kafka may return nothing of what is still to be read."""
PRODUCER_STAMP = (
    " carries a stamp of its producer, which bounds no time; "
    'see "Stamps of producers" in docs/RUNBOOK.md'
)
BROKER_STAMP = 1
"""Kafka's number for a stamp that the broker set."""
_POLL_MS = 500
_DIGITS = 19
_INTEGER = re.compile(rb"[+-]?[0-9]{1,%d}" % _DIGITS)
_LONGS = range(-(2**63), 2**63)


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
        self._action = f"cannot read {topic} at {bootstrap}"
        self._logs = dict.fromkeys(offsets, topic)
        self._most = most
        self._enough = enough
        self._pause_s = pause_s
        self._held: list[ConsumerRecord] = []
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
        records, self._held = self._held[: self._most], self._held[self._most :]
        return table_of(records, self._logs) if records else None

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _collect(self, nothing_until_s: float) -> None:
        """Poll until enough records are held, or the first ones have waited long enough."""
        until_s = time.monotonic() + self._pause_s if self._held else nothing_until_s
        while len(self._held) < self._enough:
            left_ms = int((until_s - time.monotonic()) * 1_000)
            if left_ms <= 0:
                return
            was_empty = not self._held
            for records in self._consumer.poll(timeout_ms=min(left_ms, _POLL_MS)).values():
                self._held += records
            if was_empty and self._held:
                until_s = time.monotonic() + self._pause_s

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
        self._logs = logs
        self._left: dict[TopicPartition, list[Range]] = {
            TopicPartition(topic, part): list(ranges) for part, ranges in wanted.items() if ranges
        }

    def tables(self) -> "Iterator[pa.Table]":
        """Yield tables until nothing is left to read."""
        self._consumer.assign(list(self._left))
        for part, ranges in self._left.items():
            self._consumer.seek(part, ranges[0].start)
        held: list[ConsumerRecord] = []
        size, answered = 0, time.monotonic()
        while self._left:
            before = self._positions()
            for part, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                inside = self._inside(part, records)
                held += inside
                size += sum(len(record.value or b"") for record in inside)
            self._advance()
            if self._left and self._positions() == before:
                self._require_answer(answered)
            else:
                answered = time.monotonic()
            if len(held) >= TABLE_RECORDS or size >= TABLE_BYTES:
                yield table_of(held, self._logs)
                held, size = [], 0
                answered = time.monotonic()
        if held:
            yield table_of(held, self._logs)

    def _positions(self) -> dict["TopicPartition", int]:
        return {part: self._consumer.position(part) for part in self._left}

    def _inside(
        self, part: "TopicPartition", records: "Sequence[ConsumerRecord]"
    ) -> "Sequence[ConsumerRecord]":
        ranges = self._left.get(part, [])
        if not ranges or not records:
            return ()
        first = ranges[0]
        if records[0].offset >= first.start and records[-1].offset < first.end:
            return records
        return [record for record in records if any(record.offset in span for span in ranges)]

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


def table_of(records: "Sequence[ConsumerRecord]", logs: Mapping[int, str]) -> "pa.Table":
    """Return records with the columns of `kernel.columns.RECORDS`; `logs` as in `read_records`.

    A header that is no text, or no integer of 64 bits, is null. Raise ConfigError for a record that
    its producer stamped.
    """
    import pyarrow as pa

    from truetape.kernel.columns import RECORDS

    for record in records:
        if record.timestamp_type != BROKER_STAMP:
            place = f"{record.topic}/{record.partition}@{record.offset}"
            raise ConfigError(f"{place}{PRODUCER_STAMP}")
    headers = [dict(reversed(record.headers)) for record in records]  # the first of a name counts
    columns = {
        "topic": [logs[record.partition] for record in records],
        "partition": [record.partition for record in records],
        "offset": [record.offset for record in records],
        "record_ms": [record.timestamp for record in records],
        "key": [_text(record.key) for record in records],
        "value": [record.value for record in records],
        "feed": [_text(named.get("feed")) for named in headers],
        "received_ns": [_long(named.get("received_ns")) for named in headers],
    }
    arrays = {name: pa.array(values, RECORDS.field(name).type) for name, values in columns.items()}
    arrays["day"] = pa.nulls(len(records), RECORDS.field("day").type)
    return pa.table(arrays, schema=RECORDS)


def _text(value: bytes | None) -> str | None:
    """Return valid UTF-8 as text, and None for anything else."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _long(value: bytes | None) -> int | None:
    """Return the integer that a header holds; None if it holds none of 64 bits."""
    if value is None:
        return None
    is_plain = len(value) <= _DIGITS and value.isdigit()  # faster than the expression
    if not is_plain and not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if number in _LONGS else None
