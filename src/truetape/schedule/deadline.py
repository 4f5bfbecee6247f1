"""The deadline of a session: final by its close + N, or somebody hears of it.

Airflow counts from the close even when the run was made late, so a scheduler that was down shows as
a missed deadline too.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from truetape.host.log import logger

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Database


class SessionClose(BaseDeadlineReference):
    """The close of the session that a scheduled run is for.

    None for runs by hand and backfills, and for the first run of a DAG: before it nobody could have
    expected the session to be final.
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
    """Return the alert for a venue whose sessions must be final so long after their close."""
    return DeadlineAlert(
        name=f"{venue} final",
        reference=SessionClose(),
        interval=after_close,
        callback=AsyncCallback(not_final, kwargs={"venue": venue}),
    )


async def not_final(venue: str, context: dict[str, Any]) -> None:
    """Log a session that is not final in time; Airflow lists it among the missed deadlines, too."""
    run = context["dag_run"]
    logger("schedule").error(
        "not_final_in_time",
        venue=venue,
        close=str(run["data_interval_end"]),
        run=run["dag_run_id"],
        state=str(run["state"]),
        runbook="docs/RUNBOOK.md#a-session-is-not-final-in-time",
    )
