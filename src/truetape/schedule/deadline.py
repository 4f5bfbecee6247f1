"""The deadline of a session: a missed one is logged and listed by Airflow. Stops nothing.

Airflow counts from the close even if it created the run late, so a scheduler that was down also
shows as a missed deadline.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from truetape.host import runbook
from truetape.host.log import logger
from truetape.host.private_home import current_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Database


class SessionClose(BaseDeadlineReference):
    """The close of the session that a scheduled run is for.

    Manual runs and backfills have no deadline. Nor has the first run of a DAG: nobody could expect
    its session to be final earlier.
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(
        self, *, session: "Database", dag_id: str, run_id: str, **_: Any
    ) -> datetime | None:
        from airflow.models import DagRun
        from airflow.utils.types import DagRunType
        from sqlalchemy import select

        scheduled = select(DagRun).where(
            DagRun.dag_id == dag_id, DagRun.run_type == DagRunType.SCHEDULED
        )
        run = session.scalar(scheduled.where(DagRun.run_id == run_id))
        if run is None or run.data_interval_end is None:
            return None
        earlier = session.scalar(scheduled.where(DagRun.logical_date < run.logical_date).limit(1))
        close: datetime = run.data_interval_end
        return close if earlier is not None else None


def final_by(venue: str, after_close: timedelta) -> DeadlineAlert:
    """Return the alert of a venue whose sessions must be final `after_close` after they close."""
    return DeadlineAlert(
        name=f"{venue} final",
        reference=SessionClose(),
        interval=after_close,
        callback=AsyncCallback(not_final, kwargs={"venue": venue}),
    )


async def not_final(venue: str, context: dict[str, Any]) -> None:
    """Log a session that is not final in time. Airflow also lists it among the missed deadlines."""
    run = context["dag_run"]
    logger("schedule").error(
        "not_final_in_time",
        venue=venue,
        close=str(run["data_interval_end"]),
        run=run["dag_run_id"],
        state=str(run["state"]),
        runbook=runbook.link(current_settings(), "A session is not final in time"),
    )
