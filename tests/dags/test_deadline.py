"""The deadline of a session, evaluated on a real Airflow database."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import structlog

from truetape.schedule.deadline import final_by, not_final

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from sqlalchemy.orm import Session as Database

FRIDAY = datetime(2026, 11, 27, 14, 30, tzinfo=UTC)
"""A half day."""
EARLY_CLOSE = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
DEADLINE = timedelta(hours=5, minutes=15)

Deadline = Callable[[str], datetime | None]


@pytest.fixture
def database(airflow_db: None) -> Iterator["Database"]:
    """A transaction that is rolled back after the test."""
    from airflow import settings

    session = settings.Session()
    yield session
    session.rollback()
    session.close()


@pytest.fixture
def deadline(database: "Database") -> Deadline:
    """Evaluate the deadline of a run, as the scheduler does when it creates the run."""
    from airflow.serialization.definitions.deadline import SerializedReferenceModels

    alert = final_by("XNYS", DEADLINE)
    reference = SerializedReferenceModels.SerializedCustomReference(alert.reference)

    def evaluate(run_id: str) -> datetime | None:
        due: datetime | None = reference.evaluate_with(
            session=database, interval=alert.interval, dag_id="some_dag", run_id=run_id
        )
        return due

    return evaluate


def add(database: "Database", run_id: str, kind: str, opens: datetime, closes: datetime) -> None:
    """Add a run to the database."""
    from airflow.models import DagRun
    from airflow.utils.types import DagRunType

    run = DagRun(
        dag_id="some_dag",
        run_id=run_id,
        run_type=DagRunType(kind),
        logical_date=opens,
        data_interval=(opens, closes),
        run_after=closes,
    )
    database.add(run)
    database.flush()


def test_the_deadline_of_a_scheduled_half_day_counts_from_its_early_close(
    database: "Database", deadline: Deadline
) -> None:
    wednesday = FRIDAY - timedelta(days=2)
    add(database, "before", "scheduled", wednesday, wednesday + timedelta(hours=6, minutes=30))
    add(database, "half_day", "scheduled", FRIDAY, EARLY_CLOSE)

    assert deadline("half_day") == datetime(2026, 11, 27, 23, 15, tzinfo=UTC)


def test_the_first_run_of_a_dag_has_no_deadline(database: "Database", deadline: Deadline) -> None:
    add(database, "first", "scheduled", FRIDAY, EARLY_CLOSE)

    assert deadline("first") is None


@pytest.mark.parametrize("kind", ["backfill", "manual"])
def test_manual_runs_and_backfills_have_no_deadline(
    database: "Database", deadline: Deadline, kind: str
) -> None:
    wednesday = FRIDAY - timedelta(days=2)
    add(database, "before", "scheduled", wednesday, wednesday + timedelta(hours=6, minutes=30))
    add(database, "by_hand", kind, FRIDAY, EARLY_CLOSE)

    assert deadline("by_hand") is None


def test_a_deleted_run_has_no_deadline(deadline: Deadline) -> None:
    assert deadline("deleted") is None


def test_batch_recompute_must_end_an_hour_after_its_scheduled_start(
    bag: "DagBag",
) -> None:
    [alert] = bag.dags["batch_recompute_xnys"].deadline

    assert alert.interval == timedelta(hours=4, minutes=15) + timedelta(minutes=60)
    assert alert.callback.path == f"{not_final.__module__}.not_final"


def test_a_missed_deadline_is_logged_with_its_session_and_the_runbook() -> None:
    run = {
        "data_interval_end": "2026-11-27T18:00:00Z",
        "dag_run_id": "scheduled__2026-11-27",
        "state": "running",
    }
    with structlog.testing.capture_logs() as logged:
        asyncio.run(not_final("XNYS", {"dag_run": run}))

    [line] = logged
    assert (line["event"], line["log_level"]) == ("not_final_in_time", "error")
    assert (line["venue"], line["close"]) == ("XNYS", "2026-11-27T18:00:00Z")
    assert line["runbook"].endswith("/truetape/runbook#a-session-is-not-final-in-time")
