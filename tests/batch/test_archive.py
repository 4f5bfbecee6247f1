"""The archive on a real Kafka: each offset once and one dead letter for each rejection."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from support.loop import Letter, expire, letters, own_settings, send
from truetape.batch.jobs import archive_once
from truetape.broker.offsets import available_offsets, end_offsets
from truetape.cli.archive import archive as archive_verb
from truetape.feeds.records import Record
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.errors import VerificationError
from truetape.host.settings import Settings
from truetape.lake.completeness import Completeness, Hole
from truetape.lake.coverage import has_new_records
from truetape.lake.tables import Table, table_path
from truetape.market.ranges import Range

pytestmark = pytest.mark.real

DAY = date(2026, 3, 3)
RECEIVED = 1_772_550_000_000_000_000
"""2026-03-03T15:00:00Z."""
GOOD = (
    b'{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"%d",'
    b'"event_time":"2026-03-03T15:00:00Z","price":"100","size":"10"}'
)


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    return own_settings(stack, tmp_path)


def records(count: int, seed: int = 1) -> list[Record]:
    plan = SimulationPlan(DAY, venue="XNYS", seed=seed, trades=count, offset_s=600, duration_s=600)
    return list(simulate(plan).records)


def raw(own: Settings) -> DeltaTable:
    return DeltaTable(table_path(own.lake, Table.RAW))


def offsets(own: Settings) -> Counter[tuple[int, int]]:
    """Count the rows of each (partition, offset) in the lake."""
    rows = raw(own).to_pyarrow_table(columns=["partition", "offset"]).to_pylist()
    return Counter((row["partition"], row["offset"]) for row in rows)


def in_kafka(own: Settings) -> Counter[tuple[int, int]]:
    """Return each (partition, offset) that Kafka assigned, once."""
    ends = end_offsets(own.kafka, own.topic)
    return Counter((part, offset) for part, end in ends.items() for offset in range(end))


def test_a_session_is_archived_record_by_record(own: Settings) -> None:
    made = records(1_500)
    send(own, made)

    archived = archive_once(own)

    assert archived.records == len(made)
    assert offsets(own) == in_kafka(own)
    held = Counter(raw(own).to_pyarrow_table(columns=["value"])["value"].to_pylist())
    assert held == Counter(record.payload for record in made)
    assert {part.partition: part.records for part in archived.partitions} == (
        end_offsets(own.kafka, own.topic)
    )
    assert [(part.holes, part.repeated) for part in archived.partitions] == [((), 0)] * 4


def test_a_second_run_adds_nothing_and_a_third_only_what_is_new(own: Settings) -> None:
    first, later = records(300), records(200, seed=2)
    send(own, first)
    archive_once(own)

    assert archive_once(own).records == 0
    send(own, later)

    assert archive_once(own).records == len(later)
    assert offsets(own) == in_kafka(own)


def test_a_new_lake_gets_every_record(own: Settings, tmp_path: Path) -> None:
    send(own, records(100))
    archive_once(own)
    other = dataclasses.replace(own, lake=str(tmp_path / "other"))

    archive_once(other)

    assert offsets(other) == in_kafka(own)


def good(first: int, last: int) -> list[Record]:
    """Trades of one symbol, so that they go to one partition."""
    return [Record(GOOD % number, "truetape", "IBM", RECEIVED) for number in range(first, last + 1)]


def delete(own: Settings, where: str) -> None:
    raw(own).delete(None if where == "true" else where)


def holding(parts: list[Completeness]) -> Completeness:
    """Return the one partition with records or holes."""
    (found,) = [part for part in parts if part.records or part.holes]
    return found


def test_the_available_offsets_of_each_partition_are_read_from_kafka(own: Settings) -> None:
    send(own, good(0, 9))
    (used,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    expire(own, used, 4)

    assert available_offsets(own.kafka, own.topic) == (
        dict.fromkeys(range(4), Range(0, 0)) | {used: Range(4, 10)}
    )


@pytest.mark.parametrize("recount", [False, True], ids=["next run", "recount"])
def test_the_next_run_finds_the_rows_that_raw_lost(own: Settings, recount: bool) -> None:
    """Those at the end are archived again, the others are holes; Kafka has dropped some."""
    send(own, good(0, 19))
    whole = holding(archive_once(own).partitions)
    assert (whole.records, whole.first, whole.last, whole.holes) == (20, 0, 19, ())
    delete(own, "offset IN (3, 4, 5, 11, 18, 19)")
    expire(own, whole.partition, 5)

    found = archive_once(own, recount=recount)

    torn = holding(found.partitions)
    place = (own.topic, torn.partition)
    lost = Hole(*place, Range(3, 5), recoverable=False)
    assert torn.records == 16
    assert torn.holes == (
        lost,
        Hole(*place, Range(5, 6), recoverable=True),
        Hole(*place, Range(11, 12), recoverable=True),
    )
    assert found.newly_lost == (lost,)
    again = archive_once(own)
    assert holding(again.partitions) == torn
    assert again.newly_lost == ()


def test_records_that_kafka_dropped_before_the_first_run_are_a_hole_at_the_start(
    own: Settings,
) -> None:
    send(own, good(0, 9))
    (used,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    expire(own, used, 7)

    found = archive_once(own)

    part = holding(found.partitions)
    assert (found.records, part.first, part.last) == (3, 7, 9)
    assert part.holes == (Hole(own.topic, used, Range(0, 7), recoverable=False),)


def test_a_lake_that_lost_every_row_gets_them_again(own: Settings) -> None:
    send(own, good(0, 4))
    archive_once(own)
    delete(own, "true")

    assert archive_once(own).records == 0, "all of them were counted before"
    assert offsets(own) == in_kafka(own)


def test_records_that_kafka_deleted_before_they_were_archived_are_told_once(own: Settings) -> None:
    """The archive takes the others, and does not stop."""
    send(own, good(0, 9))
    whole = holding(archive_once(own).partitions)
    send(own, good(10, 29))
    expire(own, whole.partition, 15)

    done = CliRunner(env=own.to_env()).invoke(archive_verb, [])

    lost = Hole(own.topic, whole.partition, Range(10, 15), recoverable=False)
    assert isinstance(done.exception, VerificationError)
    assert str(done.exception).startswith(
        "Kafka deleted records before they were archived: "
        f"{own.topic}/{whole.partition} offsets 10 to 14; "
    )
    again = archive_once(own)
    assert holding(again.partitions).holes == (lost,)
    assert (holding(again.partitions).records, again.newly_lost) == (25, ())
    send(own, good(30, 31))
    assert archive_once(own).records == 2


def test_a_loss_at_the_end_is_told_once_a_newer_record_is_archived(own: Settings) -> None:
    """Until then there is nothing to archive, and the offsets are named as lost."""
    send(own, good(0, 9))
    whole = holding(archive_once(own).partitions)
    send(own, good(10, 14))
    expire(own, whole.partition, 15)
    lost = Hole(own.topic, whole.partition, Range(10, 15), recoverable=False)

    for _ in range(2):
        found = archive_once(own)
        assert (holding(found.partitions).holes, found.newly_lost) == ((lost,), ())
        assert not has_new_records(own)
    send(own, good(15, 15))
    assert has_new_records(own)
    assert archive_once(own).newly_lost == (lost,)
    assert archive_once(own).newly_lost == ()


def test_what_kafka_deleted_before_the_first_run_is_no_new_loss(own: Settings) -> None:
    """Whether its partition has newer records by then or not."""
    send(own, good(0, 9))
    (used,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    expire(own, used, 10)
    send(own, [record for record in records(300) if record.key != "IBM"])
    assert archive_once(own).newly_lost == ()
    send(own, good(10, 12))

    assert archive_once(own).newly_lost == ()
    assert archive_once(own).newly_lost == ()


def test_the_verb_prints_archived_and_missing_offsets(own: Settings) -> None:
    send(own, [*good(0, 19), Record(b"bad", "truetape", "IBM", RECEIVED)])
    (used,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    printed(own)
    delete(own, "offset IN (0, 7)")
    expire(own, used, 1)
    archive_once(own)

    lines = printed(own, "--recount")

    assert lines[0] == f"archived 0 records into {own.lake}"
    assert lines[1:-3] == [
        line
        for part in range(4)
        for line in (
            [
                f"  {own.topic}/{used}: offsets 1 to 20, 19 records, 2 holes",
                "    hole: offsets 0 to 0, lost: no longer in Kafka",
                "    hole: offsets 7 to 7, still in Kafka",
            ]
            if part == used
            else [f"  {own.topic}/{part}: 0 records, 0 holes"]
        )
    ]
    assert lines[-3:] == [
        "  19 trades, cancels and corrections received = 18 accepted + 1 rejected",
        "  0 dead letters sent to trades.rejected",
        "  counted all of raw",
    ]
    assert printed(own)[-1].startswith("  counted the records that raw got since its version ")


def printed(own: Settings, *options: str) -> list[str]:
    """Return the output of `truetape archive`."""
    done = CliRunner(env=own.to_env()).invoke(archive_verb, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def broken(**changes: str) -> bytes:
    """A native trade whose named fields have the given JSON text; empty text leaves one out."""
    fields = {
        "kind": '"trade"',
        "symbol": '"IBM"',
        "venue": '"XNYS"',
        "id": '"1"',
        "event_time": '"2026-03-03T15:00:00Z"',
        "price": '"100"',
        "size": '"10"',
    }
    return ("{" + ",".join(f'"{k}":{v}' for k, v in (fields | changes).items() if v) + "}").encode()


MALFORMED = {
    "bad json": (broken()[:-3], "not-json"),
    "wrong type": (broken(price="[100]"), "bad-number"),
    "missing field": (broken(price=""), "missing-field"),
    "impossible date": (broken(event_time='"2026-02-30T15:00:00Z"'), "bad-event-time"),
    "time of another unit": (broken(event_time="1772550000"), "implausible-event-time"),
    "future time": (broken(event_time='"2026-03-03T15:05:00Z"'), "future-event-time"),
    "NaN": (broken(price='"NaN"'), "bad-number"),
    "negative price": (broken(price='"-100"'), "out-of-range"),
    "10 MB": (broken(exchange='"' + "x" * 10_000_000 + '"'), "too-large"),
    "evil symbol": (broken(symbol=r'"EV,IL=\nX"'), "bad-symbol"),
    "invalid UTF-8": (b"\xff\xfe" + broken(), "not-utf8"),
    "empty payload": (b"", "empty"),
    "heartbeat": (broken(kind='"heartbeat"'), "not-a-trade"),
}


def neighbourly() -> Iterator[Record]:
    """Return each malformed payload between two valid ones, and one of an unknown feed."""
    for number, (payload, _) in enumerate(MALFORMED.values()):
        yield Record(GOOD % number, "truetape", "IBM", RECEIVED)
        yield Record(payload, "truetape", "IBM", RECEIVED)
    yield Record(GOOD % 99, "nobody", "IBM", RECEIVED)
    yield Record(GOOD % 100, "truetape", "IBM", RECEIVED)


def test_each_malformed_record_becomes_one_dead_letter_with_its_coordinates(own: Settings) -> None:
    send(own, neighbourly())

    archived = archive_once(own)

    good, bad = len(MALFORMED) + 1, len(MALFORMED) + 1
    assert (archived.received, archived.accepted, archived.rejected) == (good + bad, good, bad)
    assert archived.dead_letters == bad
    found = [(letter.value, letter.headers["reason"]) for letter in letters(own)]
    assert found == [*MALFORMED.values(), (GOOD % 99, "unknown-feed")]
    assert {letter.key for letter in letters(own)} == {"IBM"}
    rows = raw(own).to_pyarrow_table().to_pylist()
    refused = {(row["partition"], row["offset"], 0) for row in rows if row["rejections"]}
    assert {place(letter) for letter in letters(own)} == refused
    accepted = [event for row in rows for event in row["events"]]
    assert {event["id"] for event in accepted} == {str(n) for n in [*range(len(MALFORMED)), 100]}
    assert {(event["price"], event["size"]) for event in accepted} == {(100, 10)}


def place(letter: Letter) -> tuple[int, int, int]:
    names = ("partition", "offset", "index")
    partition, offset, index = (int(letter.headers[name]) for name in names)
    return partition, offset, index


def test_a_second_run_sends_no_dead_letter_again(own: Settings) -> None:
    send(own, neighbourly())
    archive_once(own)

    assert archive_once(own).dead_letters == 0
    send(own, [Record(b"late", "truetape", "IBM", RECEIVED)])
    assert archive_once(own).dead_letters == 1
    assert len(letters(own)) == len(MALFORMED) + 2


class Killed(BaseException):
    """Raised to end a process in the middle of a transaction."""


def test_a_killed_run_sends_no_dead_letter_and_the_next_run_sends_each_once(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kafka import KafkaProducer

    def killed(_: KafkaProducer) -> None:
        raise Killed

    send(own, neighbourly())
    with monkeypatch.context() as patch:
        patch.setattr(KafkaProducer, "commit_transaction", killed)
        with pytest.raises(Killed):
            archive_once(own)

    assert letters(own) == []
    assert archive_once(own).dead_letters == len(MALFORMED) + 1
    assert len(letters(own)) == len(MALFORMED) + 1
