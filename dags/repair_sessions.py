"""
### What it does
Repairs published sessions that a late trade, a cancel or a correction has made dirty: recomputes
the affected symbols, asks the quality gate, publishes them with the next rev, and reads them back.
The asset `dirty_sessions`, which `archive_trades` updates, starts it; so does the schedule, once a
night, for the rest. It skips reverted sessions. A session that was never published is left to its
`batch_recompute`.

### What a failure means
The session stays as it was served, and stays dirty.

- `recompute`: nothing that is served changed.
- `quality_gate`: the data broke a rule. Its log names the rule, the rows and the report. If it is
  skipped, newer records arrived meanwhile, and the next run repairs the session.
- `publish`: some rows may be unsealed (`final=false`), never half-final.
- `verify`: another program writes to the bar store.

### Is a re-run safe?
Yes. A repaired session is no longer dirty, and a second publication makes zero edits.

### Runbook
[Dirty sessions](RUNBOOK.md#dirty-sessions)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, task, task_group

from truetape.schedule import dag_names, session_tasks
from truetape.schedule.assets import BARS, DIRTY
from truetape.schedule.batch_job import BatchJob
from truetape.schedule.defaults import NO_BACKFILL, Tag, default_args, documentation
from truetape.schedule.links import QualityReports, SessionDrift, with_links

with DAG(
    dag_names.REPAIR_SESSIONS,
    description="Recomputes and republishes sessions that late trades or amendments change.",
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 5 * * *", timezone="UTC"), assets=[DIRTY]
    ),
    catchup=False,
    allowed_run_types=NO_BACKFILL,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=documentation(__doc__),
):

    @task
    def find_dirty_sessions() -> list[dict[str, str]]:
        """Find the sessions to repair, oldest first."""
        return session_tasks.due_repairs()

    @task_group
    def repair(session: dict[str, str]) -> None:
        """Repair one session."""

        @task
        def name_the_session(session: dict[str, str]) -> list[str]:
            """Return the job's arguments."""
            return ["--venue", session["venue"], "--session", session["session"], "--dirty"]

        @task
        def quality_gate(session: dict[str, str], *, dag_run: Any = None) -> dict[str, Any]:
            """Let good data pass."""
            return session_tasks.gate_of_repair(session["venue"], session["session"], dag_run)

        @task(outlets=[BARS], max_active_tis_per_dag=1)
        def publish(
            session: dict[str, str], *, dag_run: Any = None, outlet_events: Any = None
        ) -> dict[str, Any]:
            """Publish the symbols that were recomputed."""
            venue, day = session["venue"], session["session"]
            published = session_tasks.publish(venue, day, dag_run, dirty=True)
            outlet_events[BARS].extra = published
            return published

        @task
        def verify(published: dict[str, Any]) -> int:
            """Compare what is served now with the lake."""
            return session_tasks.verify(published["venue"], published["session"])

        recompute = BatchJob(
            task_id="recompute", job="recompute", arguments=name_the_session(session)
        )
        published = with_links(publish(session), SessionDrift(), QualityReports())
        gate = with_links(quality_gate(session), QualityReports())
        recompute >> gate >> published
        verify(published)

    repair.expand(session=find_dirty_sessions())
