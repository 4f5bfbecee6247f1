"""Offsets that Kafka gives to other records: a topic made anew, a partition that lost its log.

On a real Kafka: nothing counts as archived that is not, each verb says so, and the way on in
docs/RUNBOOK.md loses nothing.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.loop import letters, own_settings, send
from support.replaced_log import lose_log, lose_partition, make_topic_anew, used_partition
from truetape.batch.jobs import archive_once
from truetape.broker.offsets import end_offsets
from truetape.cli.archive import archive as archive_verb
from truetape.cli.backfill import backfill as backfill_verb
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.delta import read_rows
from truetape.lake.generations import read_generations
from truetape.lake.tables import Table
from truetape.serving.backends import open_store
from truetape.stack import lifecycle as local_stack

pytestmark = pytest.mark.real

RECEIVED = 1_772_550_000_000_000_000
"""2026-03-03T15:00:00Z."""
DAY = date(2026, 3, 3)


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Iterator[Settings]:
    settings = own_settings(stack, tmp_path, partitions=2, store="embedded")
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    yield settings
    local_stack.up(stack, report=lambda _: None)


def trades(first: int, count: int) -> list[Record]:
    """Return trades with ids of their own, and after every tenth a payload without JSON; all have
    one key, so all are in one partition.
    """
    made = []
    for number in range(first, first + count):
        good = (
            f'{{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"{number}",'
            '"event_time":"2026-03-03T15:00:00Z","price":"100","size":"10"}'
        )
        made.append(Record(good.encode(), "truetape", "IBM", RECEIVED))
        if number % 10 == 9:
            made.append(Record(b"bad %d" % number, "truetape", "IBM", RECEIVED))
    return made


def run(own: Settings, verb: object, *options: str) -> tuple[object, str]:
    """Run a verb; return its error, None if it had none, and what it printed."""
    done = CliRunner(env=own.to_env()).invoke(verb, options)  # type: ignore[arg-type]
    return done.exception, done.output


def archived_ids(own: Settings) -> list[int]:
    rows = read_rows(own.lake, Table.RAW, columns=["events"])
    return sorted(int(event["id"]) for row in rows for event in row["events"])


@pytest.mark.parametrize(
    ("replace_log", "count"),
    [
        pytest.param(lose_log, 60, id="log lost, offsets passed"),
        pytest.param(lose_log, 30, id="log lost", marks=pytest.mark.long),
        pytest.param(make_topic_anew, 60, id="topic anew, offsets passed", marks=pytest.mark.long),
        pytest.param(make_topic_anew, 30, id="topic anew"),
    ],
)
def test_records_under_old_offsets_are_refused_and_then_archived_beside_the_old_ones(
    stack: Settings,
    own: Settings,
    replace_log: Callable[[Settings, Settings], None],
    count: int,
) -> None:
    """No archive runs between the loss and the new records."""
    send(own, trades(0, 40))
    first = archive_once(own)
    replace_log(stack, own)
    send(own, trades(1_000, count))

    refusals = [
        run(own, archive_verb)[0],
        run(own, archive_verb, "--recount")[0],
        run(own, backfill_verb, "--holes", "--reason", "test")[0],
    ]

    assert [type(error) for error in refusals] == [ConfigError] * 3
    assert all('"Offsets given out anew" in docs/RUNBOOK.md' in str(error) for error in refusals)
    assert archived_ids(own) == [*range(40)]

    error, printed = run(own, archive_verb, "--new-generation", "--reason", "disk lost")

    assert error is None, printed
    assert archived_ids(own) == [*range(40), *range(1_000, 1_000 + count)]
    part = used_partition(own)
    assert f"  {own.topic}/{part}: offsets 0 to 43, 44 records, 0 holes" in printed
    newer = count + count // 10
    line = f"  {own.topic}@2/{part}: offsets 0 to {newer - 1}, {newer} records, 0 holes"
    assert line in printed
    events = 44 + newer
    assert f"  {events} trades, cancels and corrections received" in printed
    assert first.dead_letters == 4
    assert [letter.value for letter in letters(own)] == [
        b"bad %d" % number for number in range(9, 40, 10)
    ]
    assert [
        letter.value for letter in letters(dataclasses.replace(own, topic=f"{own.topic}@2"))
    ] == [b"bad %d" % number for number in range(1_009, 1_000 + count, 10)]


def test_a_new_generation_goes_on_as_the_first_one_did(stack: Settings, own: Settings) -> None:
    send(own, trades(0, 20))
    archive_once(own)
    make_topic_anew(stack, own)
    send(own, trades(100, 5))
    run(own, archive_verb, "--new-generation", "--reason", "made anew")
    send(own, trades(105, 15))

    again = archive_once(own)

    assert (again.records, again.dead_letters) == (17, 2)
    assert archived_ids(own) == [*range(20), *range(100, 120)]
    error, printed = run(own, backfill_verb, "--holes", "--reason", "test", "--apply")
    assert error is None, printed
    assert "nothing to ingest" in printed


def test_holes_of_a_new_generation_are_filled_under_its_name(
    stack: Settings, own: Settings
) -> None:
    from deltalake import DeltaTable

    send(own, trades(0, 20))
    archive_once(own)
    make_topic_anew(stack, own)
    send(own, trades(100, 20))
    run(own, archive_verb, "--new-generation", "--reason", "made anew")
    log = f"{own.topic}@2"
    DeltaTable(f"{own.lake}/raw").delete(f"topic = '{log}' AND offset IN (3, 4, 12)")
    assert len(archived_ids(own)) == 37

    error, printed = run(own, backfill_verb, "--holes", "--reason", "lost rows", "--apply")

    assert error is None, printed
    assert archived_ids(own) == [*range(20), *range(100, 120)]
    recounted = archive_once(own, recount=True)
    assert [part.holes for part in recounted.partitions if part.records] == [()]
    assert [part.records for part in recounted.earlier] == [22]


def test_a_partition_that_kept_its_log_is_not_archived_again(
    stack: Settings, own: Settings
) -> None:
    """Keys of both partitions; one of them loses its log."""
    send(own, trades(0, 20))
    lost = used_partition(own)
    others = [
        dataclasses.replace(record, key=key)
        for key, first in (("AAPL", 200), ("MSFT", 300), ("XOM", 400), ("GE", 500))
        for record in trades(first, 9)
    ]
    send(own, others)
    archive_once(own)
    before = archived_ids(own)
    ends = end_offsets(own.kafka, own.topic)
    assert all(ends.values()), "both partitions need records"
    lose_partition(stack, own, lost)
    send(own, trades(1_000, 30))

    error, printed = run(own, archive_verb, "--new-generation", "--reason", "disk lost")

    assert error is None, printed
    assert archived_ids(own) == sorted([*before, *range(1_000, 1_030)])
    assert read_generations(own.lake, own.topic).numbers == {lost: 2, 1 - lost: 1}


def test_a_new_generation_without_a_lost_log_is_refused(stack: Settings, own: Settings) -> None:
    send(own, trades(0, 10))
    archive_once(own)

    error, _ = run(own, archive_verb, "--new-generation", "--reason", "to be sure")

    assert isinstance(error, ConfigError)
    assert "no new generation is needed" in str(error)
    assert json.dumps(read_generations(own.lake, own.topic).numbers) == '{"0": 1, "1": 1}'


def test_an_empty_topic_that_is_made_anew_needs_no_generation(
    stack: Settings, own: Settings
) -> None:
    archive_once(own)
    make_topic_anew(stack, own)
    send(own, trades(0, 10))

    assert archive_once(own).records == 11
    send(own, trades(10, 10))
    assert archive_once(own).records == 11
    assert read_generations(own.lake, own.topic).last == 1
