"""Reads Kafka's batches of records as columns: all records of all batches at once.

Knows format 2 of a batch (https://kafka.apache.org/documentation/#recordbatch), without its head.
Fetches, decompresses and decodes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.broker.stamps import PRODUCER_STAMP
from truetape.host.errors import ConfigError, TransientError
from truetape.kernel.columns import RECORDS, Array
from truetape.market.ranges import Ranges

_DIGITS = 19
_INTEGER = re.compile(rb"[+-]?[0-9]{1,%d}" % _DIGITS)
_SURE_INTEGER = rf"^[0-8]?[0-9]{{1,{_DIGITS - 1}}}$"
"""Matches most integers that fit 64 bits, and nothing else."""
_LONGS = range(-(2**63), 2**63)
_LEAST_BYTES = 7
"""A record without key, value and headers, with its length."""
_FEW_HEADERS = 8
"""A record with more headers is read by itself: one step for each header reads all others."""
_HEADERS = ("feed", "received_ns")
_UNSEEN = -2

_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records that Kafka stores together; `records` are their bytes, decompressed.

    `stamp_ms` is the stamp of every record if the broker set it. Compaction leaves gaps: `count`
    may be less than the number of offsets.
    """

    partition: int
    first_offset: int
    last_offset: int
    stamp_ms: int
    has_broker_stamp: bool
    count: int
    records: bytes | bytearray | memoryview

    def __len__(self) -> int:
        """Return the number of records."""
        return self.count


def table_of(
    batches: Sequence[RecordBatch],
    topic: str,
    logs: Mapping[int, str],
    wanted: Mapping[int, Ranges],
) -> pa.Table:
    """Return the records at `wanted` offsets of each partition, with the columns of
    `kernel.columns.RECORDS`, in the order of the batches.

    `logs`: the name of a partition's log, which the column `topic` has. A text that is no UTF-8,
    and a receipt that is no integer of 64 bits, are null; the first header of a name counts. Raise
    ConfigError for a record that its producer stamped, TransientError for a damaged batch.
    """
    data = b"".join(batch.records for batch in batches)
    try:
        read = _read(data, batches)
    except (IndexError, ValueError) as error:
        place = f"{topic}/{batches[0].partition}@{batches[0].first_offset}"
        raise TransientError(
            f"Kafka returned a damaged batch of records, {place} or a later one; run it again: "
            f"{error}"
        ) from error
    read = read.at(_wanted_rows(read, wanted))
    _require_broker_stamps(read, topic)
    parts = sorted(logs)
    columns = {
        "topic": pa.array([logs[part] for part in parts], pa.string()).take(
            pa.array(np.searchsorted(parts, read.partition))
        ),
        "partition": pa.array(read.partition, pa.int32()),
        "offset": pa.array(read.offset),
        "record_ms": pa.array(read.stamp_ms),
        "key": _texts(read.key.of(data)),
        "value": read.value.of(data),
        "feed": _texts(read.headers["feed"].of(data)),
        "received_ns": _integers(read.headers["received_ns"].of(data)),
        "day": pa.nulls(len(read.offset), pa.date32()),
    }
    return pa.table(columns, schema=RECORDS)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Where a field of each record is; a negative length means that it has none."""

    start: _Numbers
    length: _Numbers

    def at(self, rows: _Numbers) -> "_Spans":
        return _Spans(self.start[rows], self.length[rows])

    def of(self, data: bytes) -> Array:
        """Return the bytes there; null where there are none."""
        if not len(self.start):
            return pa.array([], pa.binary())
        ends = self.start + np.maximum(self.length, 0)
        # all fields and the gaps between them are one array over the data, of which every second
        # item is a field
        bounds = np.stack([self.start, ends], axis=1).ravel()
        buffers = [None, pa.py_buffer(bounds.data), pa.py_buffer(data)]
        pieces = pa.Array.from_buffers(pa.large_binary(), len(bounds) - 1, buffers)
        fields = pa.array(np.arange(0, len(bounds), 2), mask=self.length < 0)
        return pieces.take(fields).cast(pa.binary())


@dataclass(frozen=True, slots=True)
class _Records:
    """Records by column; the same record in every row."""

    partition: _Numbers
    offset: _Numbers
    stamp_ms: _Numbers
    has_broker_stamp: NDArray[np.bool_]
    key: _Spans
    value: _Spans
    headers: Mapping[str, _Spans]

    def at(self, rows: _Numbers | None) -> "_Records":
        if rows is None:
            return self
        return _Records(
            self.partition[rows],
            self.offset[rows],
            self.stamp_ms[rows],
            self.has_broker_stamp[rows],
            self.key.at(rows),
            self.value.at(rows),
            {name: spans.at(rows) for name, spans in self.headers.items()},
        )


def _read(data: bytes, batches: Sequence[RecordBatch]) -> _Records:
    """Find the fields of all records. Raise IndexError or ValueError if they do not fit."""
    fields = _Fields(np.frombuffer(data, np.uint8), np.array(_places(data, batches), np.int64))
    lengths = fields.numbers()
    starts = fields.at
    counts = np.array([batch.count for batch in batches], np.int64)

    def of_batches(values: Sequence[int]) -> _Numbers:
        return np.repeat(np.array(values, np.int64), counts)

    fields.at = starts + 1  # a byte of attributes, unused
    fields.numbers()  # the record's own stamp, which is its producer's
    offset = of_batches([batch.first_offset for batch in batches]) + fields.numbers()
    key, value = fields.spans(), fields.spans()
    headers = _headers(data, fields, starts)
    if not np.array_equal(fields.at, starts + lengths):
        raise ValueError("a record does not end where its length says")
    return _Records(
        of_batches([batch.partition for batch in batches]),
        offset,
        of_batches([batch.stamp_ms for batch in batches]),
        of_batches([batch.has_broker_stamp for batch in batches]).astype(bool),
        key,
        value,
        headers,
    )


def _places(data: bytes, batches: Sequence[RecordBatch]) -> list[int]:
    """Return where each record begins, with its length."""
    places: list[int] = []
    at = 0
    for batch in batches:
        end = at + len(batch.records)
        if batch.count * _LEAST_BYTES > len(batch.records):
            raise ValueError(f"{batch.count} records in {len(batch.records)} bytes")
        for _ in range(batch.count):
            places.append(at)
            first, second = data[at], data[at + 1]
            if first < 0x80:
                at += 1 + (first >> 1)
            elif second < 0x80:
                at += 2 + ((first & 0x7F | second << 7) >> 1)
            else:
                length, at = _number(data, at)
                at += length
        if at != end:
            raise ValueError(f"records end at byte {at} instead of {end}")
    return places


class _Fields:
    """Reads the next field of every record at once. `at`: where it begins."""

    def __init__(self, data: NDArray[np.uint8], at: _Numbers) -> None:
        self.data = data
        self.at = at

    def numbers(self) -> _Numbers:
        """Read integers of variable length."""
        read = self.data[self.at]
        self.at = self.at + 1
        values = (read & 0x7F).astype(np.uint64)
        longer = np.flatnonzero(read & 0x80)
        for shift in range(7, 64, 7):
            if not len(longer):
                break
            read = self.data[self.at[longer]]
            self.at[longer] += 1
            values[longer] |= (read & 0x7F).astype(np.uint64) << np.uint64(shift)
            longer = longer[(read & 0x80) > 0]
        if len(longer):
            raise ValueError("an integer of more than 64 bits")
        whole = (values >> np.uint64(1)).astype(np.int64)
        return whole ^ -(values & np.uint64(1)).astype(np.int64)

    def spans(self) -> _Spans:
        """Read bytes with their length before them."""
        lengths = self.numbers()
        if lengths.max(initial=0) > len(self.data):
            raise ValueError("a field is longer than all records")
        spans = _Spans(self.at, lengths)
        self.at = self.at + np.maximum(lengths, 0)
        return spans

    def equal(self, spans: _Spans, text: bytes) -> NDArray[np.bool_]:
        """Return which fields are a text."""
        same = np.zeros(len(spans.length), bool)
        rows = np.flatnonzero(spans.length == len(text))
        places = spans.start[rows][:, np.newaxis] + np.arange(len(text))
        same[rows] = (self.data[places] == np.frombuffer(text, np.uint8)).all(axis=1)
        return same


def _headers(data: bytes, fields: _Fields, starts: _Numbers) -> dict[str, _Spans]:
    """Read all headers of all records; return the values of the first ones of each known name."""
    counts = fields.numbers()
    if counts.min(initial=0) < 0:
        raise ValueError("a record with less than no header")
    values = {name: _Spans(starts.copy(), np.full(len(starts), _UNSEEN)) for name in _HEADERS}
    few = counts <= _FEW_HEADERS
    for number in range(counts[few].max(initial=0)):
        rows = np.flatnonzero(few & (counts > number))
        own = _Fields(fields.data, fields.at[rows])
        names, spans = own.spans(), own.spans()
        for name, known in values.items():
            first = own.equal(names, name.encode()) & (known.length[rows] == _UNSEEN)
            known.start[rows[first]] = spans.start[first]
            known.length[rows[first]] = spans.length[first]
        fields.at[rows] = own.at
    for row in np.flatnonzero(~few):
        fields.at[row] = _many_headers(data, int(fields.at[row]), int(counts[row]), values, row)
    return values


def _many_headers(
    data: bytes, at: int, count: int, values: Mapping[str, _Spans], row: np.intp
) -> int:
    """Read the headers of one record into its row; return where they end."""
    for _ in range(count):
        length, at = _number(data, at)
        name = data[at : at + max(length, 0)]
        length, at = _number(data, at + max(length, 0))
        known = values.get(name.decode(errors="replace"))
        if known is not None and known.length[row] == _UNSEEN:
            known.start[row], known.length[row] = at, length
        at += max(length, 0)
    return at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read one integer of variable length; return it and where it ends."""
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    raise ValueError("an integer of more than 64 bits")


def _wanted_rows(read: _Records, wanted: Mapping[int, Ranges]) -> _Numbers | None:
    """Return the rows at wanted offsets; None if that is all of them."""
    is_wanted = np.zeros(len(read.offset), bool)
    for part, ranges in wanted.items():
        rows = np.flatnonzero(read.partition == part)
        ends = np.array([[span.start, span.end] for span in ranges], np.int64).ravel()
        # an offset in a range is behind its start only, so behind an odd number of ends
        is_wanted[rows] = np.searchsorted(ends, read.offset[rows], side="right") % 2 == 1
    return None if is_wanted.all() else np.flatnonzero(is_wanted)


def _require_broker_stamps(read: _Records, topic: str) -> None:
    if not read.has_broker_stamp.all():
        row = int(np.argmin(read.has_broker_stamp))
        raise ConfigError(f"{topic}/{read.partition[row]}@{read.offset[row]}{PRODUCER_STAMP}")


def _texts(values: Array) -> Array:
    """Return valid UTF-8 as text, and null for anything else."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array(map(_text, values.to_pylist()), pa.string())


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _integers(values: Array) -> Array:
    """Return the integers that headers hold; null if they hold none of 64 bits."""
    texts = _texts(values)
    if pc.all(pc.match_substring_regex(texts, _SURE_INTEGER), min_count=0).as_py():
        return texts.cast(pa.int64())
    return pa.array(map(_long, values.to_pylist()), pa.int64())


def _long(value: bytes | None) -> int | None:
    if value is None or not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if number in _LONGS else None
