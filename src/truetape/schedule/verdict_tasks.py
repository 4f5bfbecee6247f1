"""Judges the pipeline inside of a task, and writes the verdict to the bucket `pipeline`.

A task has no access to Airflow's database, so it asks the supervisor of its process for the DAGs.
It learns of scheduled runs only: the runs that an asset starts have no logical date.
It imports heavy libraries, so a DAG file imports it inside of its task.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.pipeline.fact_reader import read_facts
from truetape.pipeline.facts import DagDuty, DagFacts, LastRun
from truetape.pipeline.judgement import judge
from truetape.pipeline.judgement_report import point
from truetape.schedule.dag_duties import duties
from truetape.serving.backends import open_store

Ask = Callable[[Any], Any]
"""Sends a message to the supervisor of this task and returns its answer."""
_NOT_FOUND = 404


def write_verdict(settings: Settings) -> str:
    """Judge the pipeline, write the point, and return the verdict. Safe to repeat."""
    judgement = judge(read_facts(settings, lambda: read_dags(settings, _ask)))
    with closing(open_store(settings)) as store:
        report = store.write_points([point(settings, judgement)])
    report.require_stored("verdict", "nothing depends on it but dashboards")
    return judgement.sentence


def read_dags(settings: Settings, ask: Ask) -> tuple[DagFacts, ...]:
    """Return the DAGs that the served bars depend on. Raise TransientError if Airflow is away."""
    now = datetime.now(UTC)
    try:
        return tuple(_facts(ask, duty, now) for duty in duties(settings.venues))
    except AirflowRuntimeError as error:
        raise TransientError(f"Airflow's API does not answer this task: {error}") from error


def _ask(message: Any) -> Any:
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return SUPERVISOR_COMMS.send(message)


def _facts(ask: Ask, duty: DagDuty, now: datetime) -> DagFacts:
    from airflow.sdk.execution_time.comms import GetDag

    try:
        dag = ask(GetDag(dag_id=duty.dag))
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") != _NOT_FOUND:
            raise
        return DagFacts(duty, is_known=False)
    return DagFacts(duty, is_paused=dag.is_paused, last=_last_run(ask, duty.dag, now))


def _last_run(ask: Ask, dag: str, now: datetime) -> LastRun | None:
    from airflow.sdk.execution_time.comms import GetPreviousDagRun

    ended = [
        answer.dag_run
        for state in ("success", "failed")
        for answer in [ask(GetPreviousDagRun(dag_id=dag, logical_date=now, state=state))]
        if answer.dag_run is not None
    ]
    newest = max(ended, key=lambda run: run.logical_date, default=None)
    return newest and LastRun(newest.run_id, newest.state == "failed", newest.end_date)
