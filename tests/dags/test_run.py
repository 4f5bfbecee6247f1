"""Each DAG runs as a whole in this process, on real Kafka and InfluxDB, with real Spark jobs."""

import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from deltalake import DeltaTable

from support.dag_runs import Run, callable_of, events, returned, runner, states
from support.loop import own_settings, send, served, truth_of
from support.wait import until
from truetape.batch.jobs import archive_once
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import Faults, TroubleCause
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import publications
from truetape.lake.tables import Table, table_path
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Trade
from truetape.quality.dag_runs import DagRun, reports_of
from truetape.quality.report import ReportKind, newest
from truetape.schedule.assets import BARS
from truetape.serving.backends import open_store
from truetape.serving.store import Key, ServedBar
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.observation import Health
from truetape.speed.supervision import status_of
from truetape.stack import airflow_config

pytestmark = [pytest.mark.real, pytest.mark.long]

VENUE = "IEXG"
MARCH = calendars.sessions(venues()[VENUE], date(2026, 3, 1), date(2026, 3, 31))
SESSIONS = iter([session for session in MARCH if session.open_ns is not None])
TROUBLED = Faults(late=0.01, duplicate=0.02, cancel=0.01, correct=0.01, malformed=0.01)

REJECTED = (TroubleCause.MALFORMED, TroubleCause.BAD_CLOCK)


@pytest.fixture
def own(stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with their own lake and topic; the tasks read them from the environment."""
    settings = own_settings(stack, tmp_path, venues=(VENUE,))
    for name, value in airflow_config.environment(settings, os.environ).items():
        if name != "AIRFLOW_HOME":
            monkeypatch.setenv(name, value)
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    return settings


@pytest.fixture
def session() -> Session:
    """A session for this test only: the tests share the buckets, and so the revs of a session."""
    return next(SESSIONS)


@pytest.fixture
def run(airflow_db: None, own: Settings) -> Run:
    """Run a DAG of the dags folder with these settings."""
    return runner()


def test_a_session_becomes_final_and_a_second_run_changes_nothing(
    own: Settings, run: Run, session: Session
) -> None:
    plan = SimulationPlan(
        session.date, venue=VENUE, seed=3, trades=900, offset_s=0, duration_s=120, faults=TROUBLED
    )
    made = simulate(plan)
    send(own, made.records)

    archived = run("archive_trades")
    again = run("archive_trades")
    first = run(
        f"batch_recompute_{VENUE.lower()}", session=str(session.date), reason="for the test"
    )
    second = run(f"batch_recompute_{VENUE.lower()}", session=str(session.date))

    rejected = sum(1 for trouble in made.troubles if trouble.cause in REJECTED)
    [event] = events(archived, "raw_trades")
    assert event["records"] == len(made.records)
    assert event["dead_letters"] == rejected > 0
    assert states(archived) == {
        "archive": "success", "announce_new_records": "success", "check_completeness": "success",
        "write_metrics": "success", "announce_dirty_sessions": "skipped",
        "write_verdict": "success",
    }  # fmt: skip
    skipped = dict.fromkeys(states(archived), "skipped")
    assert states(again) == skipped | {"write_verdict": "success"}
    assert events(again, "raw_trades") == []
    tasks = ("choose_session", "recompute", "quality_gate", "publish", "verify")
    done = dict.fromkeys(tasks, "success")
    assert states(first) == states(second) == done | {"archive": "skipped"}
    with closing(open_store(own)) as store:
        assert served(store, session) == truth_of(made, session)
        start, end = session.start_ns, session.end_ns
        assert all(bar.final for bar in store.read(Resolution.MINUTE, start, end, venue=VENUE))
    [published] = publications(own.lake, session)
    assert (published.rev, published.reason) == (1, "for the test")
    assert published.who == "airflow:dag_test"
    [announced] = events(first, "final_bars")
    assert announced["session"] == str(session.date)
    assert (announced["rev"], announced["edits"] > 0) == (1, True)
    assert [event["edits"] for event in events(second, "final_bars")] == [0]
    triggers = {BARS: [SimpleNamespace(extra=event) for event in events(first, "final_bars")]}
    checked = callable_of("data_quality", "check_new_data")(
        triggering_asset_events=triggers, dag_run=SimpleNamespace(dag_id="data_quality", run_id="1")
    )
    assert (len(checked["reports"]), checked["records"]) == (2, len(made.records))
    recorded = [note.run for note in reports_of(own.home, DagRun("data_quality", "1"))]
    assert recorded == checked["reports"]


def test_a_late_trade_starts_the_repair_of_its_symbol_and_the_repair_can_be_reverted(
    own: Settings, run: Run, session: Session
) -> None:
    made = simulate(
        SimulationPlan(session.date, venue=VENUE, seed=8, trades=300, offset_s=0, duration_s=60)
    )
    send(own, made.records)
    run(f"batch_recompute_{VENUE.lower()}", session=str(session.date))
    before = rows_of(own, session)
    [first, *_] = [event for event in made.truth.events if isinstance(event, Trade)]
    late = replace(first, id="900001", sequence=900_001, received_ns=session.end_ns + SECOND_NS)
    send(own, [Record(encode(late).encode(), "truetape", late.symbol, late.received_ns)])

    archived = run("archive_trades")
    repaired = run("repair_sessions")
    idle = run("repair_sessions")
    after = rows_of(own, session)
    reverted = run(
        "revert_session", venue=VENUE, session=str(session.date), rev=1, reason="not ours"
    )

    assert events(archived, "dirty_sessions") == [
        {"sessions": [{"venue": VENUE, "session": str(session.date), "symbols": 1}]}
    ]
    tasks = ("name_the_session", "recompute", "quality_gate", "publish", "verify")
    done = {f"repair.{task}": "success" for task in tasks}
    assert states(repaired) == {"find_dirty_sessions": "success"} | done
    assert [event["rev"] for event in events(repaired, "final_bars")] == [2]
    assert set(states(idle).values()) == {"success", "skipped"}
    assert events(idle, "final_bars") == []
    changed = {bar.symbol for bar in after.values() if bar.rev == 2}
    assert changed == {late.symbol}
    with closing(open_store(own)) as store:
        assert served(store, session) == truth_of(made, session)
    assert set(states(reverted).values()) == {"success"}
    values = {
        key: replace(bar, rev=1) for key, bar in rows_of(own, session).items() if not bar.void
    }
    assert values == before
    *_, last = publications(own.lake, session)
    assert (last.rev, last.restores, last.who) == (3, 1, "airflow:dag_test")
    assert last.reason == "revert to rev 1: not ours"


def rows_of(own: Settings, session: Session) -> dict[Key, ServedBar]:
    """Return the served one-minute bars of a session."""
    with closing(open_store(own)) as store:
        start, end = session.start_ns, session.end_ns
        return {bar.key: bar for bar in store.read(Resolution.MINUTE, start, end, venue=VENUE)}


def test_a_hole_is_planned_then_filled_and_its_session_becomes_final(
    own: Settings, run: Run, session: Session
) -> None:
    made = simulate(
        SimulationPlan(session.date, venue=VENUE, seed=4, trades=300, offset_s=0, duration_s=60)
    )
    send(own, made.records)
    archive_once(own)
    lost = delete_records(own, "offset % 3 = 0 AND offset < 40")

    planning = run("backfill_from_kafka")
    missing = missing_offsets(own)
    filled = run("backfill_from_kafka", reason="lost files", dry_run=False)
    again = run("backfill_from_kafka", reason="lost files", dry_run=False)

    assert lost > 40
    planned = dict.fromkeys(("check_form", "plan", "choose_next_task"), "success")
    skipped = dict.fromkeys(("approve", "ingest", "finalize"), "skipped")
    assert states(planning) == planned | skipped
    assert returned(planning, "plan")["to_ingest"] == missing == lost
    assert returned(planning, "plan")["sessions"] == [f"{VENUE} {session.date}"]
    assert states(filled) == planned | {
        "approve": "skipped", "ingest": "success", "finalize": "success",
    }  # fmt: skip
    assert returned(filled, "ingest")["records"] == lost
    [final] = returned(filled, "finalize")["finalized"]
    assert (final["session"], final["rev"]) == (str(session.date), 1)
    asker = json.loads(returned(filled, "check_form")["requester"])
    [gate] = reports_of(own.home, DagRun(asker["dag"], asker["run"]))
    assert (asker["dag"], gate.session) == ("backfill_from_kafka", session.date)
    assert missing_offsets(own) == 0
    assert states(again)["ingest"] == "skipped"
    assert returned(again, "finalize")["finalized"] == []
    with closing(open_store(own)) as store:
        assert served(store, session) == truth_of(made, session)


def test_a_large_backfill_waits_for_approval(
    own: Settings, run: Run, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow tests the approval itself; here nothing may be written before it."""
    monkeypatch.setenv("TRUETAPE_BACKFILL_APPROVE_ABOVE", "10")
    send(
        own,
        simulate(
            SimulationPlan(session.date, venue=VENUE, seed=4, trades=60, duration_s=30)
        ).records,
    )
    archive_once(own)
    lost = delete_records(own, "offset % 2 = 0 AND offset < 14")

    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag().dags["backfill_from_kafka"]
    choose = dag.get_task("choose_next_task").python_callable  # type: ignore[attr-defined]
    planned = returned(run("backfill_from_kafka", reason="what is missing?"), "plan")
    manual = SimpleNamespace(run_type="manual")

    assert planned["to_ingest"] == lost > 10
    assert choose(planned, params={"dry_run": False}, dag_run=manual) == ["approve"]
    assert dag.get_task("approve").downstream_task_ids == {"ingest"}


def delete_records(own: Settings, where: str) -> int:
    """Delete records from `raw`, but none at the end of a partition: the next archive run reads
    those again, so they are no hole.
    """
    raw = DeltaTable(table_path(own.lake, Table.RAW))
    return int(raw.delete(where)["num_deleted_rows"])


def missing_offsets(own: Settings) -> int:
    """Recount the lake and return the number of missing offsets."""
    parts = archive_once(own, recount=True).partitions
    return sum(hole.offsets.size for part in parts for hole in part.holes)


def test_the_supervisor_follows_a_recorded_order(own: Settings, run: Run) -> None:
    """One run starts a driver, the order of another run stops it, and no run waits for it."""
    began = run("speed_layer_control", action="start", reason="the market opens")
    driver = until_working(own)
    watched = run("speed_layer")
    stopped = run("speed_layer_control", action="stop", reason="the market closed")

    assert set(states(began).values()) == set(states(watched).values()) == {"success"}
    assert set(states(stopped).values()) == {"success"}
    assert (status_of(own).desired.who, status_of(own).desired.number) == ("airflow:dag_test", 2)
    until(lambda: life_of(driver) is not Life.ALIVE, within_s=90)
    assert status_of(own).health is Health.STOPPED
    assert states(run("speed_layer")) == {"supervise": "success"}


def until_working(own: Settings) -> Driver:
    """Wait until the driver has finished starting, and return it."""
    working = (Health.HEALTHY, Health.LAGGING, Health.SILENT)
    until(lambda: status_of(own).health in working, within_s=120)
    beat = status_of(own).observed.beat
    assert beat is not None
    return beat.driver


def test_maintenance_keeps_all_rows(own: Settings, run: Run, session: Session) -> None:
    made = simulate(
        SimulationPlan(session.date, venue=VENUE, seed=5, trades=60, offset_s=0, duration_s=30)
    )
    send(own, made.records)
    archive_once(own)

    done = run("maintenance")

    tasks = (
        "update_buckets", "audit_served_bars", "compact_lake", "clean_airflow_database",
        "recount_offsets", "check_completeness",
    )  # fmt: skip
    assert states(done) == dict.fromkeys(tasks, "success")
    tables = {table["table"] for table in returned(done, "compact_lake")}
    assert tables == {"raw", "counted", "generations"}
    assert returned(done, "recount_offsets")["holes"] == []
    assert missing_offsets(own) == 0


def test_a_session_without_trades_is_skipped_and_the_run_succeeds(
    own: Settings, run: Run, session: Session
) -> None:
    other = SimulationPlan(session.date, venue="XNYS", seed=3, trades=20, offset_s=0, duration_s=10)
    send(own, simulate(other).records)

    done = run(f"batch_recompute_{VENUE.lower()}", session=str(session.date))

    assert str(done.state) == "success"
    assert states(done) == {
        "choose_session": "success",
        "archive": "success",
        "recompute": "success",
        "quality_gate": "skipped",
        "publish": "skipped",
        "verify": "skipped",
    }
    assert publications(own.lake, session) == []


def test_a_hole_makes_the_check_red_and_does_not_stop_the_archive(
    own: Settings, run: Run, session: Session
) -> None:
    made = simulate(
        SimulationPlan(session.date, venue=VENUE, seed=6, trades=300, offset_s=0, duration_s=60)
    )
    half = len(made.records) // 2
    send(own, made.records[:half])
    archive_once(own)
    good = run("data_quality")
    first = newest(own.home, ReportKind.FEED, None, None)
    send(own, made.records[half:])
    archive_once(own)
    assert first is not None
    hole = " or ".join(
        f"(partition = {part.rpartition('/')[2]} and offset = {end + 1})"
        for part, end in first.offsets.items()
    )
    assert DeltaTable(table_path(own.lake, Table.RAW)).delete(hole)["num_deleted_rows"] > 0

    red = run("data_quality")
    send(own, made.records[:10])
    archived = run("archive_trades")
    again = run("data_quality")

    assert (states(good), first.is_open) == ({"check_new_data": "success"}, True)
    assert first.rows == {"records": half, "left": 0}
    assert states(red) == {"check_new_data": "failed"}
    assert states(archived)["announce_new_records"] == "success"
    assert states(again)["check_new_data"] == "success"
    assert returned(again, "check_new_data")["records"] == 10
