"""Airflow's own database is cleaned by its own command."""

from datetime import UTC, datetime, timedelta

import pytest

from truetape.schedule.maintenance_tasks import AIRFLOW_KEEPS, clean_airflow


def test_old_runs_are_deleted_and_new_ones_stay(
    airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a task, where Airflow blocks access to its database."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType
    from sqlalchemy import select

    now = datetime.now(UTC)
    ages = {"old": AIRFLOW_KEEPS + timedelta(days=1), "new": AIRFLOW_KEEPS - timedelta(days=1)}
    with create_session() as session:
        for name, age in ages.items():
            then = now - age
            run = DagRun(
                dag_id="some_dag",
                run_id=name,
                run_type=DagRunType.MANUAL,
                logical_date=then,
                run_after=then,
                start_date=then,
            )
            session.add(run)

    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
        patch.setenv("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
        clean_airflow(now)

    with create_session() as session:
        wanted = select(DagRun.run_id).where(DagRun.dag_id == "some_dag")
        remaining = set(session.scalars(wanted))
    assert remaining == {"new"}
