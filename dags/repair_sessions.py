"""
### What it does
Repairs published sessions that a late trade, a cancel or a correction has made dirty: recomputes
the symbols concerned, asks the quality gate, publishes them with the next rev, and reads them back.
Woken by the asset `dirty_sessions`, which `archive_trades` announces, and once a night for what
was left. A session that a revert holds is left alone; one that was never published is brought by
its own `batch_recompute`.

### What a failure means
The session stays as it was served and stays dirty. `recompute` red changes nothing that is served.
`gate` red: the data broke a rule, its log names rule, rows and report. `gate` skipped: more came
meanwhile, and the next run brings all of it. `publish` red may leave rows unsealed
(`final=false`), never half-final ones. `verify` red: somebody else writes.

### Is a re-run safe?
Yes. What is repaired is not dirty any more, and a second publication makes zero edits.

### Runbook
`docs/RUNBOOK.md#dirty-sessions`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, task, task_group

from truetape.schedule import dag_names, session_tasks
from truetape.schedule.assets import BARS, DIRTY
from truetape.schedule.batch_job import BatchJob
from truetape.schedule.defaults import Tag, default_args

with DAG(
    dag_names.REPAIR_SESSIONS,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 5 * * *", timezone="UTC"), assets=[DIRTY]
    ),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=__doc__,
):

    @task
    def due() -> list[dict[str, str]]:
        """Find the sessions to repair, oldest first."""
        return session_tasks.due_repairs()

    @task_group
    def repair(session: dict[str, str]) -> None:
        """Repair one session."""

        @task
        def arguments(session: dict[str, str]) -> list[str]:
            """Say to the job what to recompute."""
            return ["--venue", session["venue"], "--session", session["session"], "--dirty"]

        @task
        def gate(session: dict[str, str], *, dag_run: Any = None) -> dict[str, Any]:
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

        recompute = BatchJob(task_id="recompute", job="recompute", arguments=arguments(session))
        published = publish(session)
        recompute >> gate(session) >> published
        verify(published)

    repair.expand(session=due())
