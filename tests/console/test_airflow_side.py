"""The DAGs as the console reads them from Airflow's database, here one in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils import session as airflow_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from truetape.console.airflow_side import read_dags
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.pipeline.facts import DagFacts

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Airflow's tables of DAGs and runs, empty."""
    engine = create_engine("sqlite://")
    for model in (DagModel, DagRun):
        model.__table__.create(engine)
    with Session(engine) as session:

        @contextmanager
        def create_session() -> Iterator[Session]:
            yield session

        monkeypatch.setattr(airflow_session, "create_session", create_session)
        yield session
    engine.dispose()


def add_dag(session: Session, name: str, **values: object) -> None:
    columns = {"dag_id": name, "is_paused": False, "is_stale": False, "bundle_name": "dags",
               "max_active_tasks": 4, "max_active_runs": 1, "max_consecutive_failed_dag_runs": 0,
               "has_task_concurrency_limits": False}  # fmt: skip
    session.execute(insert(DagModel.__table__).values(columns | values))


def add_run(session: Session, number: int, state: DagRunState) -> None:
    """Add a run of the archive, `number` minutes after noon."""
    when = NOON + timedelta(minutes=number)
    values = {"dag_id": "archive_trades", "run_id": f"run {number}", "state": state,
              "run_type": DagRunType.SCHEDULED, "run_after": when, "logical_date": when,
              "end_date": when, "log_template_id": None}  # fmt: skip
    session.execute(insert(DagRun.__table__).values(values))


def by_name(settings: Settings) -> dict[str, DagFacts]:
    return {facts.duty.dag: facts for facts in read_dags(settings) or ()}


def test_paused_missing_and_stale_dags_are_told_apart(
    database: Session, settings: Settings
) -> None:
    add_dag(database, "speed_layer", is_paused=True)
    add_dag(database, "archive_trades", next_dagrun_create_after=NOON)
    add_dag(database, "maintenance", is_stale=True)

    found = by_name(settings)

    assert [name for name, facts in found.items() if facts.is_known] == [
        "speed_layer", "archive_trades",
    ]  # fmt: skip
    assert found["speed_layer"].is_paused
    assert found["archive_trades"].next == NOON
    assert found["archive_trades"].last is None


def test_the_last_run_is_the_newest_one_that_has_ended(
    database: Session, settings: Settings
) -> None:
    add_dag(database, "archive_trades")
    for number, state in enumerate((DagRunState.SUCCESS, DagRunState.FAILED, DagRunState.RUNNING)):
        add_run(database, number, state)

    last = by_name(settings)["archive_trades"].last

    assert last is not None
    assert (last.run, last.is_failed, last.ended) == ("run 1", True, NOON + timedelta(minutes=1))


def test_a_database_that_does_not_answer_is_an_error(database: Session, settings: Settings) -> None:
    DagModel.__table__.drop(database.get_bind())

    with pytest.raises(TransientError, match="its database does not answer"):
        read_dags(settings)
