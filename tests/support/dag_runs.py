"""Runs of DAGs in this process, and what they left: states, returned values, announcements."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

Run = Callable[..., "DagRun"]
_STATES: dict[str, dict[str, str]] = {}
_RETURNED: dict[str, dict[str, Any]] = {}
"""By run, and in it by task: `dag.test()` removes the run before from the database, with all of it.
"""


def runner() -> Run:
    """Read the dags folder now, and return what runs a DAG of it as `airflow dags test` does."""
    from airflow.dag_processing.dagbag import DagBag

    dags = DagBag().dags

    def run_one(dag_id: str, **conf: object) -> "DagRun":
        dag = dags[dag_id]
        dag.deadline = None  # `dag.test()` takes the alerts' forms for their ids (3.3.2)
        run = dag.test(logical_date=None, run_after=datetime.now(UTC), run_conf=conf or None)
        _STATES[run.run_id] = {task.task_id: str(task.state) for task in run.get_task_instances()}
        _RETURNED[run.run_id] = {task: _returned(run, task) for task in _STATES[run.run_id]}
        return run

    return run_one


def callable_of(dag_id: str, task: str) -> Callable[..., Any]:
    """The function that a task calls, to be given what only a scheduler would give it."""
    from airflow.dag_processing.dagbag import DagBag

    found: Any = DagBag().dags[dag_id].get_task(task)
    called: Callable[..., Any] = found.python_callable
    return called


def states(run: "DagRun") -> dict[str, str]:
    """The state of each task of a run."""
    return _STATES[run.run_id]


def events(run: "DagRun", asset: str) -> list[dict[str, Any]]:
    """What a run announced of an asset."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        wanted = select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)
        return [event.extra for event in session.scalars(wanted) if event.name == asset]


def returned(run: "DagRun", task: str) -> Any:
    """What a task of a run returned."""
    return _RETURNED[run.run_id][task]


def _returned(run: "DagRun", task: str) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = XComModel.get_many(
            run_id=run.run_id, dag_ids=run.dag_id, task_ids=task, key="return_value"
        )
        row = session.execute(found).scalars().first()
        return None if row is None else XComModel.deserialize_value(row)
