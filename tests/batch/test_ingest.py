"""Ingest on both engines: the same rows, each offset once, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from support.loop import expire, own_settings, send, stamped_by
from truetape.batch import ingest as ingest_module
from truetape.batch.ingest import archive, ingest, portions
from truetape.batch.ingest_plan import IngestPlan
from truetape.broker.clients import open_transactional_producer
from truetape.broker.offsets import available_offsets, end_offsets
from truetape.broker.record_reader import read_records
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.lake.delta import ensure_table, open_table
from truetape.lake.generations import Generations
from truetape.lake.tables import Table, table_path
from truetape.market.ranges import Range, Ranges

pytestmark = pytest.mark.real

DAY = date(2026, 3, 3)
RECEIVED = 1_772_550_000_000_000_000
"""2026-03-03T15:00:00Z."""
TRADE = (
    b'{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"%d",'
    b'"event_time":"2026-03-03T15:00:00Z","price":"100","size":"10"}'
)
TROUBLED = Faults(late=0.05, duplicate=0.05, cancel=0.05, correct=0.05, malformed=0.05)
ENGINES = ("local", "spark")


@pytest.fixture(params=ENGINES)
def own(stack: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    if request.param == "spark":
        request.getfixturevalue("spark")
    return own_settings(stack, tmp_path, batch_engine=request.param)


def rows(own: Settings) -> pa.Table:
    table = DeltaTable(table_path(own.lake, Table.RAW)).to_pyarrow_table()
    return table.sort_by([(name, "ascending") for name in ("topic", "partition", "offset")])


def offsets(own: Settings) -> Counter[tuple[int, int]]:
    """Count the rows of each (partition, offset) in the lake."""
    found = rows(own).select(["partition", "offset"]).to_pylist()
    return Counter((row["partition"], row["offset"]) for row in found)


def in_kafka(own: Settings) -> Counter[tuple[int, int]]:
    """Return each (partition, offset) that Kafka assigned, once."""
    ends = end_offsets(own.kafka, own.topic)
    return Counter((part, offset) for part, end in ends.items() for offset in range(end))


def trades(first: int, last: int) -> list[Record]:
    """Trades of one symbol, so that they go to one partition."""
    return [Record(TRADE % one, "truetape", "IBM", RECEIVED) for one in range(first, last + 1)]


def troubled() -> list[Record]:
    plan = SimulationPlan(DAY, venue="XNYS", seed=3, trades=1_500, offset_s=600, faults=TROUBLED)
    return list(simulate(replace(plan, duration_s=600)).records)


def odd_records(own: Settings) -> None:
    """Send records without headers, key or value, with foreign headers, and with wrong ones."""
    from kafka import KafkaProducer

    received = str(RECEIVED).encode()
    good = TRADE % 1
    odd: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
        (None, b"IBM", []),
        (good, b"IBM", []),
        (good, b"\xff\xfe", [("feed", b"truetape"), ("received_ns", received)]),
        (good, b"IBM", [("feed", b"\xff\xfe"), ("received_ns", received)]),
        (good, b"IBM", [("feed", b"nobody"), ("received_ns", received)]),
        (good, b"IBM", [("feed", b"truetape"), ("received_ns", b"soon")]),
        (good, b"IBM", [("feed", b"truetape"), ("received_ns", b"9" * 19)]),
        (good, b"IBM", [("feed", b"truetape"), ("received_ns", b"-" + received)]),
        (good, b"IBM", [("feed", b"truetape"), ("received_ns", b"9" * 30)]),
        (good, b"IBM", [("feed", b"truetape"), ("feed", b"other"), ("received_ns", received)]),
        (good, b"IBM", [("x", b"1"), ("received_ns", received), ("feed", b"truetape")]),
        (b"", b"IBM", [("feed", b"truetape"), ("received_ns", received)]),
    ]
    producer = KafkaProducer(bootstrap_servers=own.kafka)
    for value, key, headers in odd:
        producer.send(own.topic, value=value, key=key, headers=headers, partition=0)
    producer.flush()
    producer.close()


def test_both_engines_write_the_same_rows(stack: Settings, tmp_path: Path, spark: object) -> None:
    first = own_settings(stack, tmp_path)
    send(first, troubled())
    odd_records(first)
    lakes = [replace(first, batch_engine=engine, lake=str(tmp_path / engine)) for engine in ENGINES]

    for own in lakes:
        archive(own)

    local, on_spark = (rows(own) for own in lakes)
    assert offsets(lakes[0]) == in_kafka(first)
    assert sum(local["rejections"].to_pylist()) > 50
    for name in local.column_names:
        assert local[name].to_pylist() == on_spark[name].to_pylist(), name


def test_a_second_run_writes_nothing_and_a_third_only_what_is_new(own: Settings) -> None:
    send(own, trades(0, 99))
    archive(own)
    version = open_table(own.lake, Table.RAW).version()

    archive(own)

    assert open_table(own.lake, Table.RAW).version() == version
    send(own, trades(100, 149))
    archive(own)
    assert offsets(own) == in_kafka(own)


def test_many_records_are_archived_in_portions_with_progress(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "COMMIT_RECORDS", 400)
    made = troubled()
    send(own, made)
    told: list[str] = []

    archive(own, told.append)

    assert offsets(own) == in_kafka(own)
    assert told[-1] == f"archived {len(made):,} of {len(made):,} records"
    assert len(told) >= len(made) // 400


def plan_of(own: Settings, *ends: tuple[int, int]) -> IngestPlan:
    """Plan offsets of the partition that has records."""
    (part,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    wanted = Ranges(Range(first, last + 1) for first, last in ends)
    version = open_table(own.lake, Table.RAW).version()
    return IngestPlan({part: wanted}, Generations(own.topic, {}, {}), version, "by a test")


def test_exactly_the_planned_offsets_are_written_in_one_commit(own: Settings) -> None:
    send(own, trades(0, 99))
    ensure_table(own.lake, Table.RAW)
    plan = plan_of(own, (3, 5), (40, 40), (90, 99))

    ingest(own, plan)

    assert sorted(offset for _, offset in offsets(own)) == [3, 4, 5, 40, *range(90, 100)]
    assert open_table(own.lake, Table.RAW).version() == plan.raw_version + 1
    assert "by a test" in str(DeltaTable(table_path(own.lake, Table.RAW)).history(1))


def test_of_two_writers_with_plans_for_one_version_only_one_writes(own: Settings) -> None:
    """Two hosts, which share no lock."""
    send(own, trades(0, 9))
    ensure_table(own.lake, Table.RAW)
    plan, other = plan_of(own, (0, 5)), plan_of(own, (4, 9))

    ingest(own, plan)
    for late in (plan, other):
        with pytest.raises(TransientError, match="another writer committed first"):
            ingest(own, late)

    assert sorted(offset for _, offset in offsets(own)) == list(range(6))
    assert set(offsets(own).values()) == {1}


def test_a_table_that_was_compacted_meanwhile_takes_the_rows(own: Settings) -> None:
    send(own, trades(0, 9))
    archive(own)
    send(own, trades(10, 19))
    archive(own)
    send(own, trades(20, 29))
    plan = plan_of(own, (20, 29))
    assert open_table(own.lake, Table.RAW).compact()[0] == 2

    ingest(own, plan)

    assert offsets(own) == in_kafka(own)


def test_uncommitted_records_wait_and_aborted_ones_are_passed_over(own: Settings) -> None:
    producer = open_transactional_producer(
        own.kafka, f"of {own.topic}", transaction_timeout_ms=60_000, max_block_ms=10_000,
        request_timeout_ms=10_000, retry_backoff_ms=100,
    )  # fmt: skip
    producer.init_transactions()
    headers = [("feed", b"truetape"), ("received_ns", str(RECEIVED).encode())]

    def put(first: int, last: int) -> None:
        producer.begin_transaction()
        for number in range(first, last + 1):
            producer.send(own.topic, value=TRADE % number, headers=headers, partition=1)
        producer.flush()

    put(0, 4)
    producer.commit_transaction()
    put(5, 9)
    producer.abort_transaction()
    put(10, 14)

    archive(own)

    assert ids(own) == list(range(5))
    producer.commit_transaction()
    archive(own)
    assert ids(own) == [*range(5), *range(10, 15)]
    archive(own)
    assert ids(own) == [*range(5), *range(10, 15)]
    producer.close()


def ids(own: Settings) -> list[int]:
    found = rows(own)["events"].to_pylist()
    return sorted(int(event["id"]) for events in found for event in events)


def test_a_record_with_the_stamp_of_its_producer_is_refused_and_nothing_written(
    own: Settings,
) -> None:
    send(own, trades(0, 9))
    stamped_by(own, "CreateTime")
    send(own, trades(10, 10))
    stamped_by(own, "LogAppendTime")

    with pytest.raises(ConfigError, match="@10 carries a stamp of its producer"):
        archive(own)

    assert rows(own).num_rows == 0


def test_records_that_kafka_deletes_while_they_are_read_are_an_error(own: Settings) -> None:
    send(own, trades(0, 9))
    ensure_table(own.lake, Table.RAW)
    plan = plan_of(own, (0, 9))
    (part,) = plan.offsets
    expire(own, part, 5)

    with pytest.raises((TransientError, ConfigError)):
        ingest(own, plan)

    assert rows(own).num_rows == 0
    archive(own)
    assert sorted(offset for _, offset in offsets(own)) == [5, 6, 7, 8, 9]


def is_being_written(own: Settings) -> bool:
    return any(Path(own.lake, "raw").glob("date=*/**/*.parquet"))


def is_committed(own: Settings) -> bool:
    """Version 0 of the table is its creation."""
    return Path(own.lake, "raw", "_delta_log", f"{1:020d}.json").exists()


def after(seconds: float) -> Callable[[Settings], bool]:
    begun: list[float] = []

    def passed(_: Settings) -> bool:
        begun.append(time.monotonic())
        return begun[-1] - begun[0] > seconds

    return passed


def killed(own: Settings, moment: Callable[[Settings], bool]) -> None:
    """Run `truetape archive` and kill it at a moment, if it has not ended before."""
    child = subprocess.Popen(
        [sys.executable, "-m", "truetape.cli.main", "archive"],
        env=os.environ | own.to_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while child.poll() is None and not moment(own) and time.monotonic() < deadline:
        time.sleep(0.002)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


@pytest.mark.parametrize(
    "own", ["local", pytest.param("spark", marks=pytest.mark.long)], indirect=True
)
@pytest.mark.parametrize("moment", [is_being_written, is_committed])
def test_a_killed_archive_is_continued_without_loss_or_repeat(
    own: Settings, moment: Callable[[Settings], bool]
) -> None:
    send(own, troubled())
    killed(own, moment)

    archive(own)

    assert offsets(own) == in_kafka(own)


@pytest.mark.parametrize("own", ["local"], indirect=True)
def test_an_archive_that_is_killed_again_and_again_loses_and_repeats_nothing(
    own: Settings,
) -> None:
    """Between start and end, a tenth of a second apart, with new records each time."""
    for number in range(8):
        send(own, trades(100 * number, 100 * number + 99))
        killed(own, after(0.9 + number / 10))

    archive(own)

    assert offsets(own) == in_kafka(own)


def test_an_empty_topic_has_nothing_to_read(own: Settings) -> None:
    archive(own)

    assert rows(own).num_rows == 0


def test_portions_contain_every_offset_once_and_are_small() -> None:
    wanted = {0: Ranges.between(5, 1_000), 1: Ranges.between(0, 10), 2: Ranges.between(7, 8)}

    parts = list(portions(wanted, 100))

    assert all(sum(ranges.size for ranges in part.values()) <= 100 for part in parts)
    for number, ranges in wanted.items():
        taken = [part[number] for part in parts if number in part]
        assert sum(one.size for one in taken) == ranges.size
        whole = taken[0]
        for one in taken[1:]:
            whole |= one
        assert whole == ranges


def test_the_reader_gives_the_wanted_records_of_each_partition_in_order(
    stack: Settings, tmp_path: Path
) -> None:
    own = own_settings(stack, tmp_path)
    send(own, troubled())
    available = available_offsets(own.kafka, own.topic)
    wanted = {
        part: Ranges([Range(3, 5), Range(40, 41), Range(span.end - 2, span.end)])
        for part, span in available.items()
        if span.size > 50
    }
    assert len(wanted) > 1

    tables = read_records(own.kafka, own.topic, wanted, dict.fromkeys(wanted, "log"))

    read = pa.concat_tables(tables).select(["topic", "partition", "offset"]).to_pylist()
    for part, ranges in wanted.items():
        found = [row["offset"] for row in read if row["partition"] == part]
        assert found == [offset for span in ranges for offset in range(span.start, span.end)]
    assert {row["topic"] for row in read} == {"log"}
