"""Backfill on a real Kafka: ingests exactly the missing records, and reports the lost ones."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from support.loop import expire, own_settings, send, served, truth_of
from support.wait import until
from truetape.batch.backfill_plan import AffectedSession, BackfillPlan, PlanContents
from truetape.batch.backfill_request import BackfillRequest, ByOffsets, ByTime, Holes
from truetape.batch.backfill_run import Ingested, ingest_once, plan_once
from truetape.batch.jobs import archive_once
from truetape.broker.offsets import end_offsets
from truetape.cli.backfill import backfill as verb
from truetape.feeds.records import Record
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import OutdatedPlanError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.offset_text import from_pairs
from truetape.lake.tables import Table, table_path
from truetape.market.ranges import Ranges
from truetape.market.sessions import Session
from truetape.pipeline.sessions import finalize_sessions
from truetape.serving.backends import open_store

pytestmark = pytest.mark.real

DAY = date(2026, 3, 3)
RECEIVED = 1_772_550_000_000_000_000
"""2026-03-03T15:00:00Z, within the session of New York."""
NEXT_DAY = RECEIVED + 86_400 * 1_000_000_000
TRADE = (
    b'{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"%d",'
    b'"event_time":"2026-03-03T15:00:00Z","price":"100","size":"10"}'
)
CANCEL = b'{"kind":"cancel","symbol":"IBM","venue":"XNYS","id":"%d"}'
BROKEN = Record(b"broken", "truetape", "IBM", RECEIVED)
HOLES = BackfillRequest(Holes(), "to find out")


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    """Return settings with the embedded store: these tests need no InfluxDB."""
    return own_settings(stack, tmp_path, store="embedded")


def good(first: int, last: int) -> list[Record]:
    """Trades of one symbol, so that they go to one partition, at offsets as they are numbered."""
    return [
        Record(TRADE % number, "truetape", "IBM", RECEIVED) for number in range(first, last + 1)
    ]


def used(own: Settings) -> int:
    """Return the one partition with records."""
    (found,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    return found


def raw(own: Settings) -> DeltaTable:
    return DeltaTable(table_path(own.lake, Table.RAW))


def archived(own: Settings) -> Counter[tuple[int, int]]:
    """Count the rows of each (partition, offset) in the lake."""
    rows = raw(own).to_pyarrow_table(columns=["partition", "offset"]).to_pylist()
    return Counter((row["partition"], row["offset"]) for row in rows)


def given_out(own: Settings, *except_: tuple[int, int]) -> Counter[tuple[int, int]]:
    """Return each (partition, offset) of Kafka once, except these."""
    ends = end_offsets(own.kafka, own.topic).items()
    return Counter({(p, o) for p, end in ends for o in range(end)} - set(except_))


def lose(own: Settings, where: str) -> int:
    """Delete archived rows; return their number."""
    return int(raw(own).delete(where)["num_deleted_rows"])


def at(partition: int, *ends: tuple[int, int]) -> dict[int, Ranges]:
    return {partition: from_pairs(ends)}


def test_only_the_rows_that_raw_lost_are_ingested(own: Settings) -> None:
    """Records that the archive has not read yet are left to it."""
    send(own, [*good(0, 19), BROKEN])
    assert archive_once(own).dead_letters == 1
    where = used(own)
    before = raw(own).to_pyarrow_table().sort_by("offset")
    assert lose(own, "offset IN (0, 4, 5, 6, 11, 18)") == 6
    send(own, good(21, 23))
    version = raw(own).version()

    planned = plan_once(own, HOLES)

    assert raw(own).version() == version
    assert planned.plan.to_ingest == at(where, (0, 0), (4, 6), (11, 11), (18, 18))
    assert planned.plan.total("awaited") == 3
    assert planned.plan.lost == {}
    assert planned.contents == PlanContents(6, 6, 0, (AffectedSession("XNYS", DAY, ("IBM",)),))

    assert ingest_once(own, planned) == Ingested(6, 0)
    assert raw(own).to_pyarrow_table().sort_by("offset") == before
    assert ingest_once(own, planned) == Ingested(0, 0)
    again = plan_once(own, HOLES)
    assert (again.plan.to_ingest, again.contents) == ({}, PlanContents())
    assert archive_once(own).records == 3
    assert archived(own) == given_out(own)


@pytest.mark.long
def test_rows_that_are_lost_again_are_ingested_again(own: Settings) -> None:
    send(own, good(0, 9))
    archive_once(own)
    for _ in range(2):
        assert lose(own, "offset IN (2, 3)") == 2
        assert ingest_once(own, plan_once(own, HOLES)).records == 2

    assert archived(own) == given_out(own)


def test_an_outdated_plan_writes_nothing(own: Settings) -> None:
    send(own, good(0, 9))
    archive_once(own)
    where = used(own)
    lose(own, "offset IN (2, 3, 7)")
    some = plan_once(own, BackfillRequest(ByOffsets(at(where, (0, 3))), "the first"))
    every = plan_once(own, HOLES)
    last = plan_once(own, BackfillRequest(ByOffsets(at(where, (7, 7))), "the last"))
    assert some.plan.total("archived") == 2

    assert ingest_once(own, some).records == 2
    with pytest.raises(OutdatedPlanError, match="of 3 records 2 are archived by now"):
        ingest_once(own, every)
    expiring = plan_once(own, HOLES)
    assert expiring.plan.to_ingest == last.plan.to_ingest
    expire(own, where, 8)
    with pytest.raises(OutdatedPlanError, match="1 are lost"):
        ingest_once(own, expiring)

    assert archived(own) == given_out(own, (where, 7))


def test_a_request_by_time_uses_kafkas_timestamps(own: Settings) -> None:
    """All records have the same event and receipt time, years before Kafka's timestamps."""
    send(own, good(0, 9))
    middle = time.time_ns() + 2_000_000
    until(lambda: time.time_ns() > middle + 2_000_000, within_s=5)
    send(own, good(10, 19))
    archive_once(own)
    where = used(own)
    lose(own, "offset IN (1, 12, 13)")

    later = plan_once(
        own, BackfillRequest(ByTime(middle, time.time_ns() + 10**10), "the second half")
    )
    earlier = plan_once(own, BackfillRequest(ByTime(RECEIVED, middle), "the first half"))

    assert later.plan.to_ingest == at(where, (12, 13))
    assert later.plan.total("asked") == 10
    assert earlier.plan.to_ingest == at(where, (1, 1))
    assert earlier.plan.total("asked") == 10


def test_a_cancel_affects_the_session_of_the_trade_that_it_means(own: Settings) -> None:
    """The cancel has no event time and arrives a day later; a trade with another id stays."""
    send(own, good(0, 3))
    send(own, [Record(CANCEL % 2, "truetape", "IBM", NEXT_DAY), *good(4, 4)])
    archive_once(own)
    lose(own, "offset = 4")

    found = plan_once(own, HOLES)

    assert found.contents == PlanContents(1, 1, 0, (AffectedSession("XNYS", DAY, ("IBM",)),))


def session() -> Session:
    return calendars.session(venues()["XNYS"], DAY)


def simulated() -> SimulatedSession:
    return simulate(
        SimulationPlan(DAY, venue="XNYS", seed=3, trades=1_500, offset_s=600, duration_s=600)
    )


def plan_is_noted(own: Settings) -> bool:
    return bool(list((own.home / "backfills").rglob("*.json")))


def rows_are_in(own: Settings) -> bool:
    return plan_is_noted(own) and raw(own).transaction_version(f"ingest-{own.topic}") == 2


@pytest.mark.long
@pytest.mark.parametrize("moment", [plan_is_noted, rows_are_in])
def test_a_backfill_killed_in_the_middle_is_finished_by_the_next(
    own: Settings, moment: Callable[[Settings], bool]
) -> None:
    """Each offset is archived once, and the affected sessions are served with the true bars."""
    made = simulated()
    send(own, made.records)
    finalize_sessions(own, [session()], "first", lambda _: None)
    missing = lose(own, "offset % 10 < 3")
    assert missing > 300
    child = subprocess.Popen(
        [sys.executable, "-m", "truetape.cli.main", *APPLY],
        env=os.environ | own.to_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: moment(own) or child.poll() is not None, within_s=180)
        assert child.poll() is None
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    lines = printed(own, *APPLY[1:])

    assert lines[0].startswith("finishing backfill ")
    assert "nothing to ingest" in lines
    assert not plan_is_noted(own)
    assert archived(own) == given_out(own)
    with closing(open_store(own)) as store:
        assert served(store, session()) == truth_of(made, session())


APPLY = ("backfill", "--holes", "--reason", "rows were lost", "--apply")


def printed(own: Settings, *options: str) -> list[str]:
    """Return the output of `truetape backfill`."""
    done = CliRunner(env=own.to_env()).invoke(verb, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [line for line in done.stdout.splitlines() if "[info" not in line]


@pytest.mark.long
def test_the_verb_prints_the_plan_then_ingests_and_finalizes(own: Settings) -> None:
    send(own, good(0, 19))
    finalize_sessions(own, [session()], "first", lambda _: None)
    where = used(own)
    lose(own, "offset IN (0, 7, 8)")
    expire(own, where, 1)
    archive_as_is = plan_once(own, HOLES).plan

    shown = printed(own, "--holes", "--reason", "two lost")

    names = ("asked", "in kafka", "archived", "to ingest", "lost", "awaited", "unwritten")
    table = [
        "".join(["partition", *(f"{name:>12}" for name in names)]),
        *[
            row(part, 20, 19, 17, 2, 1, 0, 0) if part == where else row(part, *[0] * 7)
            for part in range(4)
        ],
    ]
    assert shown == [
        f"backfill {dataclasses.replace(archive_as_is, request=two_lost()).digest} of {own.topic}",
        *table,
        f"  partition {where}: offsets 7 to 8, still in Kafka",
        f"  partition {where}: offsets 0 to 0, lost: no longer in Kafka",
        "to ingest: 2 records = 2 events + 0 rejected, in 1 sessions",
        "  XNYS 2026-03-03: 1 symbols",
        "nothing was written: this is the plan; --apply carries it out",
    ]
    elsewhere = printed(own, "--holes", "--reason", "two lost", "--symbols", "SPY")
    assert elsewhere[-2] == "  1 sessions have none of the given symbols"
    assert archived(own) == given_out(own, (where, 0), (where, 7), (where, 8))

    done = printed(own, "--holes", "--reason", "two lost", "--apply")

    assert done[:-2] == shown[:-1]
    assert done[-2:] == [
        "ingested 2 records, sent 0 dead letters",
        "  XNYS 2026-03-03: 19 trades, rev 2, 5 edits; 5 bars compared, 0 differ",
    ]
    assert archived(own) == given_out(own, (where, 0))
    assert printed(own, "--holes", "--reason", "again", "--apply")[-1] == "nothing to ingest"


def row(partition: int, *counts: int) -> str:
    return "".join([f"{partition:>9}", *(f"{count:>12}" for count in counts)])


def two_lost() -> BackfillRequest:
    return BackfillRequest(Holes(), "two lost")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reason", "why not"], "give one of"),
        (["--holes", "--offsets", "0:1", "--reason", "why not"], "give one of"),
        (["--from", "2026-11-20T14:00:00Z", "--reason", "why not"], "needs 'to'"),
        (["--holes", "--reason", ""], "give 3 to 500"),
    ],
)
def test_the_verb_rejects_an_invalid_request(options: Iterable[str], message: str) -> None:
    done = CliRunner().invoke(verb, list(options))

    assert message in str(done.exception)


def test_a_plan_can_be_ingested_after_a_round_trip_through_json(own: Settings) -> None:
    send(own, good(0, 9))
    archive_once(own)
    lose(own, "offset = 5")
    sent = plan_once(own, HOLES).to_dict()

    assert ingest_once(own, BackfillPlan.from_dict(sent)).records == 1
