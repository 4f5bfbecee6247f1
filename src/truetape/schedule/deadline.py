"""The deadline of a session: final by its close + N, or somebody hears of it.

Airflow counts from the close even when the run was made late, so a scheduler that was down shows as
a missed deadline too.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from truetape.log import logger

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Database


class SessionClose(BaseDeadlineReference):
    """The close of the session that a scheduled run is for; none for runs by hand and backfills."""

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(
        self, *, session: "Database", dag_id: str, run_id: str, **_: Any
    ) -> datetime | None:
        from airflow.models import DagRun
        from airflow.utils.types import DagRunType
        from sqlalchemy import select

        close: datetime | None = session.scalar(
            select(DagRun.data_interval_end).where(
                DagRun.dag_id == dag_id,
                DagRun.run_id == run_id,
                DagRun.run_type == DagRunType.SCHEDULED,
            )
        )
        return close


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
