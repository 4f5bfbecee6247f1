"""Batches of records as tables: what kafka-python reads, and what headers mean."""

from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecordsBuilder

from support.record_batches import (
    ABORT,
    BROKER_STAMPS,
    COMMIT,
    CONTROL,
    GZIP,
    TOPIC,
    TRANSACTIONAL,
    Answer,
    Batch,
    Headers,
    Written,
    read,
    row_of,
)
from truetape.broker.record_batches import RecordBatch, table_of
from truetape.broker.whole_batches import WholeBatches
from truetape.host.errors import ConfigError, TransientError
from truetape.kernel.columns import RECORDS
from truetape.market.ranges import Range, Ranges

LOGS = {2: "trades.1", 5: "trades.2"}
EVERY = {part: Ranges([Range(0, 2**63 - 1)]) for part in LOGS}


def batches_of(*answers: Answer) -> list[RecordBatch]:
    return [record.value for answer in answers for record in answer.read(WholeBatches)]


def table(*answers: Answer, wanted: dict[int, Ranges] = EVERY) -> pa.Table:
    return table_of(batches_of(*answers), TOPIC, LOGS, wanted)


def row(record: Written, **changes: int) -> dict[str, object]:
    [only] = table(Answer([Batch([record], first_offset=7, **changes)])).to_pylist()
    return only


def values(*answers: Answer, wanted: dict[int, Ranges] = EVERY) -> list[bytes | None]:
    read: list[bytes | None] = table(*answers, wanted=wanted)["value"].to_pylist()
    return read


def numbered(count: int, first_offset: int = 0, **changes: int) -> Batch:
    records = [
        Written(value=b"%d" % offset) for offset in range(first_offset, first_offset + count)
    ]
    return Batch(records, first_offset, **changes)


def with_receipt(text: bytes | None) -> Written:
    return Written(headers=[("received_ns", text)])


def test_a_record_keeps_its_place_and_its_bytes() -> None:
    headers = [("feed", b"acme"), ("received_ns", b"5")]

    assert row(Written(b"IBM", b"\xff{", headers)) == {
        "topic": "trades.1", "partition": 2, "offset": 7, "record_ms": 17, "key": "IBM",
        "value": b"\xff{", "feed": "acme", "received_ns": 5, "day": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"1795000000000000000", 1_795_000_000_000_000_000),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", None),
        (b"-9223372036854775808", -(2**63)),
        (b"+17", 17),
        (b"0000000000000000017", 17),
        (b"00000000000000000017", None),
        (b"", None),
        (b" 17", None),
        (b"1_7", None),
        (b"0x17", None),
        ("\u0661\u0667".encode(), None),
        (b"17\n", None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_a_receipt_is_an_integer_of_64_bits_or_null(text: bytes | None, number: int | None) -> None:
    assert row(with_receipt(text))["received_ns"] == number
    rows = table(Answer([Batch([with_receipt(b"3"), with_receipt(text)])])).to_pylist()
    assert [each["received_ns"] for each in rows] == [3, number]


@pytest.mark.parametrize(
    "headers",
    [
        [("feed", b"first"), ("other", b"x"), ("feed", b"second")],
        [("other", b"x")] * 40 + [("feed", b"first"), ("feed", None)],
    ],
    ids=["few", "many"],
)
def test_the_first_header_of_a_name_counts(headers: Headers) -> None:
    answer = row(Written(headers=headers))

    assert (answer["feed"], answer["received_ns"]) == ("first", None)


def test_a_first_header_without_a_value_counts_too() -> None:
    assert row(Written(headers=[("feed", None), ("feed", b"second")]))["feed"] is None


def test_a_text_that_is_not_utf8_is_null_and_its_neighbours_stay() -> None:
    odd = Written(b"\xff", headers=[("feed", b"\xff")])
    plain = Written(b"IBM", headers=[("feed", b"acme")])

    rows = table(Answer([Batch([plain, odd])])).to_pylist()

    assert [(each["key"], each["feed"]) for each in rows] == [("IBM", "acme"), (None, None)]


def test_a_record_without_key_value_and_headers_is_read() -> None:
    read = row(Written(value=None))

    assert (read["key"], read["value"], read["feed"], read["received_ns"]) == (None,) * 4


def test_a_stamp_of_a_producer_is_refused_with_its_place() -> None:
    mixed = Answer([numbered(3), numbered(2, 3, flags=0)])

    with pytest.raises(ConfigError, match="trades/2@4 carries a stamp of its producer"):
        table(mixed, wanted={2: Ranges([Range(0, 3), Range(4, 5)])})
    assert values(mixed, wanted={2: Ranges([Range(0, 3)])}) == [b"0", b"1", b"2"]


def test_only_wanted_offsets_are_returned() -> None:
    answers = Answer([numbered(10), numbered(10, 10)]), Answer([numbered(10)], partition=5)
    wanted = {2: Ranges([Range(3, 5), Range(8, 12), Range(19, 40)]), 5: Ranges([Range(0, 1)])}

    assert values(*answers, wanted=wanted) == [
        b"3", b"4", b"8", b"9", b"10", b"11", b"19", b"0",
    ]  # fmt: skip


def test_offsets_that_compaction_removed_are_passed_over() -> None:
    compacted = Batch([Written(value=b"a", gap=3), Written(value=b"b", gap=1)], 100)

    read = table(Answer([compacted, numbered(1, 106)]))

    assert read["offset"].to_pylist() == [103, 105, 106]


def test_records_of_aborted_transactions_and_marks_are_left_out() -> None:
    answer = Answer(
        [
            numbered(2, 0, flags=BROKER_STAMPS | TRANSACTIONAL, producer=8),
            numbered(2, 2, flags=BROKER_STAMPS | TRANSACTIONAL, producer=9),
            Batch([Written(ABORT, b"\0" * 6)], 4, BROKER_STAMPS | TRANSACTIONAL | CONTROL, 8),
            numbered(1, 5, flags=BROKER_STAMPS | TRANSACTIONAL, producer=8),
            Batch([Written(COMMIT, b"\0" * 6)], 6, BROKER_STAMPS | TRANSACTIONAL | CONTROL, 9),
            numbered(1, 7),
        ],
        aborted=[(8, 0)],
    )

    assert values(answer) == [b"2", b"3", b"5", b"7"]


def test_compressed_records_are_read() -> None:
    records = [Written(b"IBM", b"x" * 5_000, [("feed", b"acme")])] * 50

    assert values(Answer([Batch(records, flags=BROKER_STAMPS | GZIP)])) == [b"x" * 5_000] * 50


def test_no_record_is_an_empty_table() -> None:
    assert table() == RECORDS.empty_table()
    assert table(Answer([numbered(3)]), wanted={}) == RECORDS.empty_table()


small = st.binary(max_size=6)
names = st.sampled_from(["feed", "received_ns", "x", ""]) | st.text(max_size=3)
written = st.builds(
    Written,
    key=st.none() | small,
    value=st.none() | small | st.just(b"v" * 300) | st.just(b"v" * 20_000),
    headers=st.lists(
        st.tuples(names, st.none() | small | st.integers().map(lambda n: str(n).encode())),
        max_size=11,
    ),
    stamp_ms=st.integers(0, 2**42),
    gap=st.integers(0, 200) | st.just(70_000),
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Batches of some producers, with and without transactions, compressed and not."""
    batches, at = [], draw(st.integers(0, 300))
    for records in draw(st.lists(st.lists(written, min_size=1, max_size=12), max_size=5)):
        flags = BROKER_STAMPS | draw(st.sampled_from([0, GZIP, TRANSACTIONAL]))
        batches.append(Batch(records, at, flags, draw(st.integers(0, 1))))
        at += sum(1 + record.gap for record in records)
    starts = st.sampled_from([batch.first_offset for batch in batches] or [0])
    aborted = draw(st.lists(st.tuples(st.integers(0, 1), starts), max_size=2))
    return Answer(batches, aborted, fetched_offset=draw(st.integers(0, at)))


@given(answers())
def test_any_records_are_those_that_kafka_python_reads(answer: Answer) -> None:
    expected = [row_of(record, LOGS) for record in answer.read()]

    wanted = {2: Ranges.between(answer.fetched_offset, 2**63 - 1)}

    assert table(answer, wanted=wanted).to_pylist() == expected


@given(st.data())
def test_damaged_records_are_refused_or_read_and_end_nothing(data: st.DataObject) -> None:
    """Sums find damage in transit; this is about bytes that a broker stores without reading."""
    [batch] = batches_of(Answer([Batch([Written(b"IBM", b"{}", [("feed", b"acme")])] * 3)]))
    records = bytearray(batch.records)
    for place in data.draw(st.lists(st.integers(0, len(records) - 1), min_size=1, max_size=4)):
        records[place] = data.draw(st.integers(0, 255))
    damaged = RecordBatch(2, 0, 2, 17, True, data.draw(st.integers(0, 2**31 - 1)), records)

    with suppress(TransientError):
        read = table_of([damaged], TOPIC, LOGS, EVERY)
        assert read.num_rows <= 3
        read.validate(full=True)


@pytest.mark.parametrize(
    "records",
    [b"", b"\x0e\0\0\0\1\1\0\0", b"\x0e" + b"\0" * 4 + b"\xff" * 3, b"\x0d" * 20, b"\xff" * 30],
    ids=["too few bytes", "wrong length", "endless number", "negative length", "endless length"],
)
def test_records_that_do_not_fit_their_lengths_are_refused(records: bytes) -> None:
    sound, damaged = batches_of(Answer([numbered(2)])), RecordBatch(2, 2, 2, 17, True, 1, records)

    with pytest.raises(TransientError, match="run it again"):
        table_of([*sound, damaged], TOPIC, LOGS, EVERY)


def test_the_format_without_headers_is_refused_with_its_place() -> None:
    builder = MemoryRecordsBuilder(magic=1, compression_type=0, batch_size=1_000, offset=3)
    builder.append(timestamp=1, key=None, value=b"old")
    builder.close()

    with pytest.raises(
        ConfigError, match=r"trades/2@3 has the format of messages before Kafka 0.1"
    ):
        read(bytes(builder.buffer()), 2, WholeBatches)
