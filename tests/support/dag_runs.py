"""Runs of DAGs in this process, and their results: states, returned values, asset events.

Starts no scheduler. All results are read right after the run: the next `dag.test()` deletes the run
from the database, and an old `DagRun` object would then show the new run's values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that is over: its state, states and returned values by task, events by asset."""

    state: str
    states: Mapping[str, str]
    returned: Mapping[str, Any]
    events: Mapping[str, list[dict[str, Any]]]


Run = Callable[..., FinishedRun]


def runner() -> Run:
    """Read the dags folder now. Return a function that runs a DAG as `airflow dags test` does."""
    from airflow.dag_processing.dagbag import DagBag

    dags = DagBag().dags

    def run_one(dag_id: str, **conf: object) -> FinishedRun:
        dag = dags[dag_id]
        dag.deadline = None  # `dag.test()` mistakes serialized alerts for their ids (3.3.2)
        run = dag.test(logical_date=None, run_after=datetime.now(UTC), run_conf=conf or None)
        states = {task.task_id: str(task.state) for task in run.get_task_instances()}
        values = {task: _returned(run, task) for task in states}
        return FinishedRun(str(run.state), states, values, _events(run))

    return run_one


def callable_of(dag_id: str, task: str) -> Callable[..., Any]:
    """Return the function of a task, for a test that passes what only a scheduler would pass."""
    from airflow.dag_processing.dagbag import DagBag

    operator: Any = DagBag().dags[dag_id].get_task(task)
    function: Callable[..., Any] = operator.python_callable
    return function


def states(run: FinishedRun) -> Mapping[str, str]:
    """Return the state of each task of a run."""
    return run.states


def events(run: FinishedRun, asset: str) -> list[dict[str, Any]]:
    """Return the events that a run sent for an asset."""
    return run.events.get(asset, [])


def returned(run: FinishedRun, task: str) -> Any:
    """Return the value that a task of a run returned."""
    return run.returned[task]


def _events(run: "DagRun") -> dict[str, list[dict[str, Any]]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    events: dict[str, list[dict[str, Any]]] = {}
    with create_session() as session:
        wanted = select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)
        for event in session.scalars(wanted):
            events.setdefault(event.name, []).append(event.extra)
    return events


def _returned(run: "DagRun", task: str) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        values = XComModel.get_many(
            run_id=run.run_id, dag_ids=run.dag_id, task_ids=task, key="return_value"
        )
        row = session.execute(values).scalars().first()
        return None if row is None else XComModel.deserialize_value(row)
