r"""
### What it does
Makes a venue's session final: archives what Kafka still holds, recomputes the session's trades
and bars exactly from the lake, asks the quality gate, publishes what differs from what is served,
and reads it back. One DAG a venue of `TRUETAPE_VENUES`; one run a session, by the exchange's
calendar, when its trading, after hours included, is over. The session of a run is its data
interval; a run by hand takes the date of its form, else the last session that closed.

Past sessions are Airflow's own backfill, in any order, two at a time if you like:
```
airflow backfill create --dag-id batch_recompute_xnys --from-date 2026-11-23 --to-date 2026-12-01 \
  --run-backwards --max-active-runs 2 --reprocess-behavior completed
```
Both dates are instants: a session belongs to it when its open lies between them.

### What a failure means
The session stays as it was served: provisional, or final by an earlier revision. `recompute` red
changes nothing that is served. `gate` red: the data broke a rule, its log names rule, rows and
report; nothing is tried again by itself. `publish` red may leave rows unsealed (`final=false`),
never half-final ones; a session that was reverted is refused unless the form gives a reason.
`verify` red: served and recomputed differ after all, somebody else writes.

### Is a re-run safe?
Yes. Every step replaces its result whole; a second publication makes zero edits. Clear the failed
task.

### Runbook
`docs/RUNBOOK.md#a-session-is-not-final-in-time`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, TriggerRule, task

from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.schedule import dag_names, session_tasks
from truetape.schedule.assets import BARS
from truetape.schedule.batch_job import ArchiveJob, BatchJob
from truetape.schedule.deadline import final_by
from truetape.schedule.defaults import Tag, default_args
from truetape.schedule.forms import recompute_form
from truetape.schedule.timetable import ExchangeSessionTimetable


def batch_recompute(venue: str, settings: Settings) -> DAG:
    """Return the DAG of one venue."""
    exchange = venues()[venue]
    delay = exchange.after_hours + timedelta(minutes=settings.batch_delay_min)
    with DAG(
        dag_names.batch_recompute(venue),
        dag_display_name=f"batch_recompute {venue}",
        schedule=ExchangeSessionTimetable(exchange, delay),
        deadline=final_by(venue, delay + timedelta(minutes=settings.final_within_min)),
        catchup=False,
        max_active_runs=2,
        dagrun_timeout=timedelta(hours=4),
        default_args=default_args(),
        tags=[Tag.BATCH, Tag.PER_SESSION],
        doc_md=__doc__,
        params=recompute_form(),
    ) as dag:

        @task
        def session(*, params: Any = None, dag_run: Any = None) -> str:
            """Find out which session this run is for."""
            start = dag_run.data_interval_start
            return session_tasks.session_date(venue, params["session"], start, dag_run.run_after)

        @task
        def gate(day: str, counts: dict[str, Any], *, dag_run: Any = None) -> dict[str, Any]:
            """Let good data pass; a session without trades has nothing to publish."""
            session_tasks.require_trades(venue, day, counts)
            return session_tasks.gate(venue, day, dag_run)

        @task(outlets=[BARS], max_active_tis_per_dag=1)
        def publish(
            day: str, *, params: Any = None, dag_run: Any = None, outlet_events: Any = None
        ) -> dict[str, Any]:
            """Make the session final."""
            published = session_tasks.publish(venue, day, dag_run, reason=params["reason"])
            outlet_events[BARS].extra = published
            return published

        @task
        def verify(published: dict[str, Any]) -> int:
            """Compare what is served now with the lake."""
            return session_tasks.verify(venue, published["session"])

        day = session()
        archive = ArchiveJob(task_id="archive")
        recompute = BatchJob(
            task_id="recompute",
            job="recompute",
            arguments=["--venue", venue, "--session", day],
            trigger_rule=TriggerRule.NONE_FAILED,  # the archive is skipped where nothing is new
        )
        published = publish(day)
        day >> archive >> recompute
        gate(day, recompute.output) >> published
        verify(published)
    return dag


for code in Settings.from_env().venues:
    batch_recompute(code, Settings.from_env())
