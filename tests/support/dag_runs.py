"""Runs of DAGs in this process, and what they left: states, returned values, announcements.

All of it is read at once: `dag.test()` removes the run before from the database, and a `DagRun` of
it would then speak of whichever run took its place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that is over: its state, states and returned values by task, announcements by asset."""

    state: str
    states: Mapping[str, str]
    returned: Mapping[str, Any]
    events: Mapping[str, list[dict[str, Any]]]


Run = Callable[..., Ran]


def runner() -> Run:
    """Read the dags folder now, and return what runs a DAG of it as `airflow dags test` does."""
    from airflow.dag_processing.dagbag import DagBag

    dags = DagBag().dags

    def run_one(dag_id: str, **conf: object) -> Ran:
        dag = dags[dag_id]
        dag.deadline = None  # `dag.test()` takes the alerts' forms for their ids (3.3.2)
        run = dag.test(logical_date=None, run_after=datetime.now(UTC), run_conf=conf or None)
        found = {task.task_id: str(task.state) for task in run.get_task_instances()}
        return Ran(
            str(run.state), found, {task: _returned(run, task) for task in found}, _events(run)
        )

    return run_one


def callable_of(dag_id: str, task: str) -> Callable[..., Any]:
    """The function that a task calls, to be given what only a scheduler would give it."""
    from airflow.dag_processing.dagbag import DagBag

    found: Any = DagBag().dags[dag_id].get_task(task)
    called: Callable[..., Any] = found.python_callable
    return called


def states(run: Ran) -> Mapping[str, str]:
    """The state of each task of a run."""
    return run.states


def events(run: Ran, asset: str) -> list[dict[str, Any]]:
    """What a run announced of an asset."""
    return run.events.get(asset, [])


def returned(run: Ran, task: str) -> Any:
    """What a task of a run returned."""
    return run.returned[task]


def _events(run: "DagRun") -> dict[str, list[dict[str, Any]]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    found: dict[str, list[dict[str, Any]]] = {}
    with create_session() as session:
        wanted = select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)
        for event in session.scalars(wanted):
            found.setdefault(event.name, []).append(event.extra)
    return found


def _returned(run: "DagRun", task: str) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = XComModel.get_many(
            run_id=run.run_id, dag_ids=run.dag_id, task_ids=task, key="return_value"
        )
        row = session.execute(found).scalars().first()
        return None if row is None else XComModel.deserialize_value(row)
