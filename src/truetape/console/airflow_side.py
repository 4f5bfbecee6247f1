"""Queries of the console to Airflow's database, in the API server's process. Changes nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.pipeline.facts import DagDuty, DagFacts, LastRun
from truetape.schedule.dag_duties import duties

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Database


def read_dags(settings: Settings) -> tuple[DagFacts, ...] | None:
    """Return the DAGs that the served bars depend on; None if this is not Airflow's process.

    Raise TransientError if Airflow's database does not answer.
    """
    try:
        from airflow.utils.session import create_session
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return None
    try:
        with create_session() as database:
            return _dags(database, duties(settings.venues))
    except SQLAlchemyError as error:
        reason = str(error).partition("\n")[0]
        raise TransientError(f"its database does not answer: {reason}; reload the page") from error


def _dags(database: "Database", duties: Sequence[DagDuty]) -> tuple[DagFacts, ...]:
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    names = [duty.dag for duty in duties]
    known = {
        dag.dag_id: dag
        for dag in database.scalars(select(DagModel).where(DagModel.dag_id.in_(names)))
        if not dag.is_stale
    }
    return tuple(
        DagFacts(duty, is_known=False)
        if duty.dag not in known
        else DagFacts(
            duty,
            is_paused=known[duty.dag].is_paused,
            last=_last_run(database, duty.dag),
            next=known[duty.dag].next_dagrun_create_after,
        )
        for duty in duties
    )


def _last_run(database: "Database", dag: str) -> LastRun | None:
    from airflow.models import DagRun
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    ended = (DagRunState.SUCCESS, DagRunState.FAILED)
    newest = (
        select(DagRun)
        .where(DagRun.dag_id == dag, DagRun.state.in_(ended))
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(1)
    )
    run = database.scalar(newest)
    if run is None:
        return None
    return LastRun(run.run_id, run.state == DagRunState.FAILED, run.end_date)
