"""The follower on a real Kafka: every committed record once, in order, in tables of a fair size."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from support.loop import expire, own_settings, send, stamped_by
from truetape.broker.offsets import end_offsets
from truetape.broker.record_reader import RecordFollower
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.kernel.columns import RECORDS

pytestmark = pytest.mark.real

LONG_S = 3_600.0
"""A pause that no test waits for."""
MAX_POLLS = 30


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    return own_settings(stack, tmp_path, partitions=1)


def made(count: int, first: int = 0) -> list[Record]:
    """Records whose payload is their number, of eight symbols."""
    numbers = range(first, first + count)
    return [Record(b"%d" % number, "truetape", f"S{number % 8}", number) for number in numbers]


@contextmanager
def following(
    own: Settings,
    offsets: Mapping[int, int],
    *,
    most: int = 10_000,
    enough: int = 1,
    pause_s: float = 0.0,
) -> Iterator[RecordFollower]:
    follower = RecordFollower(
        own.kafka, own.topic, offsets, most=most, enough=enough, pause_s=pause_s
    )
    with closing(follower):
        yield follower


def next_table(follower: RecordFollower) -> pa.Table:
    for _ in range(MAX_POLLS):
        table = follower.poll(1.0)
        if table is not None:
            return table
    pytest.fail(f"no record after {MAX_POLLS} polls")


def read(follower: RecordFollower, count: int) -> pa.Table:
    """Poll until so many records have come."""
    tables = [RECORDS.empty_table()]
    while sum(table.num_rows for table in tables) < count:
        tables.append(next_table(follower))
    return pa.concat_tables(tables)


def test_each_partition_is_read_once_in_the_order_of_its_offsets(
    stack: Settings, tmp_path: Path
) -> None:
    own = own_settings(stack, tmp_path, partitions=2)
    send(own, made(300))
    with following(own, {0: 0, 1: 0}) as follower:
        first = read(follower, 300)
        send(own, made(50, first=300))
        second = read(follower, 50)

    records = pa.concat_tables([first, second])
    assert records.schema == RECORDS
    for part, end in end_offsets(own.kafka, own.topic).items():
        offsets = [row["offset"] for row in records.to_pylist() if row["partition"] == part]
        assert offsets == list(range(end))
        assert end > 0
    assert sorted(map(int, records["value"].to_pylist())) == list(range(350))
    [row] = [row for row in records.to_pylist() if row["value"] == b"7"]
    assert (row["topic"], row["key"], row["feed"], row["received_ns"]) == (
        own.topic,
        "S7",
        "truetape",
        7,
    )


def test_it_begins_at_the_offsets_that_it_is_given(own: Settings) -> None:
    send(own, made(30))

    with following(own, {0: 20}) as follower:
        records = read(follower, 10)

    assert records["offset"].to_pylist() == list(range(20, 30))


def test_no_table_has_more_than_most_records(own: Settings) -> None:
    send(own, made(250))

    with following(own, {0: 0}, most=100, enough=250) as follower:
        sizes = [next_table(follower).num_rows for _ in range(3)]

    assert sizes == [100, 100, 50]


def test_enough_records_end_the_pause(own: Settings) -> None:
    send(own, made(60))

    with following(own, {0: 0}, enough=60, pause_s=LONG_S) as follower:
        assert next_table(follower).num_rows == 60


def test_a_few_records_come_once_the_pause_is_over(own: Settings) -> None:
    send(own, made(1))
    with following(own, {0: 0}, enough=1_000, pause_s=1.0) as follower:
        assert next_table(follower).num_rows == 1
        send(own, made(3, first=1))
        assert next_table(follower)["offset"].to_pylist() == [1, 2, 3]


def test_an_empty_topic_gives_nothing(own: Settings) -> None:
    with following(own, {0: 0}, enough=50, pause_s=LONG_S) as follower:
        assert follower.poll(0.2) is None


def test_records_that_kafka_has_deleted_are_named(own: Settings) -> None:
    send(own, made(60))
    expire(own, 0, before=50)

    with following(own, {0: 10}) as follower, pytest.raises(TransientError) as error:
        next_table(follower)

    assert f"cannot read {own.topic} at {own.kafka}: it deleted records: " in str(error.value)


def test_a_record_with_the_stamp_of_its_producer_is_refused(own: Settings) -> None:
    send(own, made(1))
    stamped_by(own, "CreateTime")
    send(own, made(1))

    with (
        following(own, {0: 0}, enough=2, pause_s=10.0) as follower,
        pytest.raises(ConfigError) as error,
    ):
        read(follower, 2)

    assert str(error.value).startswith(f"{own.topic}/0@1 carries a stamp of its producer")
    assert '"Stamps of producers" in docs/RUNBOOK.md' in str(error.value)


def test_records_of_an_aborted_transaction_are_passed_over(own: Settings) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=own.kafka, transactional_id=f"aborted-{own.topic}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(own.topic, b"aborted").get(10)
    producer.abort_transaction()
    producer.close()
    send(own, made(2))

    with following(own, {0: 0}) as follower:
        records = read(follower, 2)

    assert records["value"].to_pylist() == [b"0", b"1"]


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_is_away_is_a_transient_error(own: Settings) -> None:
    from truetape.stack.server import free_port

    with pytest.raises(TransientError, match="cannot read"):
        RecordFollower(f"127.0.0.1:{free_port()}", own.topic, {0: 0}, most=1, enough=1, pause_s=0.0)
