r"""
### What it does
Makes a venue's session final: archives what Kafka still holds, recomputes the session's trades
and bars exactly from the lake, asks the quality gate, publishes what differs from what is served,
and reads it back. There is one DAG per venue and one run per session. A run starts when the
session's trading, after hours included, is over, by the exchange's calendar. The session of a run
is its data interval. A run by hand takes the date of its form, or the last closed session.

To recompute past sessions, use Airflow's own backfill:
```
airflow backfill create --dag-id batch_recompute_xnys --from-date 2026-11-23 --to-date 2026-12-01 \
  --run-backwards --max-active-runs 2 --reprocess-behavior completed
```
A session is included if it opens between the two dates.

### What a failure means
The session stays as it was served: provisional, or final with its earlier rev.

- `choose_session`: the exchange was closed on the date in the form, or the form replaces a revert
  without a reason.
- `recompute`: nothing that is served changed.
- `quality_gate`: the data broke a rule. Its log names the rule, the rows and the report. Nothing is
  retried by itself.
- `publish`: some rows may be unsealed (`final=false`), never half-final. A session that somebody
  reverted is refused unless "Replace a reverted session" is ticked in the form.
- `verify`: served and recomputed bars differ; another program writes to the bar store.

### Is a re-run safe?
Yes. Each step replaces its result as a whole, and a second publication makes zero edits. Clear the
failed task.

### Runbook
[A session is not final in time](RUNBOOK.md#a-session-is-not-final-in-time),
[closed gate](RUNBOOK.md#closed-gate), [reverting a session](RUNBOOK.md#reverting-a-session)
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
from truetape.schedule.defaults import Tag, default_args, documentation
from truetape.schedule.forms import recompute_form
from truetape.schedule.links import QualityReports, SessionDrift, with_links
from truetape.schedule.timetable import ExchangeSessionTimetable


def batch_recompute(venue: str, settings: Settings) -> DAG:
    """Return the DAG of one venue."""
    exchange = venues()[venue]
    delay = exchange.after_hours + timedelta(minutes=settings.batch_delay_min)
    with DAG(
        dag_names.batch_recompute(venue),
        dag_display_name=f"batch_recompute {venue}",
        description=f"Recomputes each session of {exchange.name} and publishes its final bars.",
        schedule=ExchangeSessionTimetable(exchange, delay),
        deadline=final_by(venue, delay + timedelta(minutes=settings.final_within_min)),
        catchup=False,
        max_active_runs=2,
        dagrun_timeout=timedelta(hours=4),
        default_args=default_args(),
        tags=[Tag.BATCH, Tag.PER_SESSION],
        doc_md=documentation(__doc__),
        params=recompute_form(),
    ) as dag:

        @task
        def choose_session(*, params: Any = None, dag_run: Any = None) -> str:
            """Check the form, and find the session that this run is for."""
            session_tasks.reason_of(params)
            start = dag_run.data_interval_start
            return session_tasks.session_date(venue, params["session"], start, dag_run.run_after)

        @task
        def quality_gate(
            day: str, counts: dict[str, Any], *, dag_run: Any = None
        ) -> dict[str, Any]:
            """Let good data pass; a session without trades has nothing to publish."""
            session_tasks.require_trades(venue, day, counts)
            return session_tasks.gate(venue, day, dag_run)

        @task(outlets=[BARS], max_active_tis_per_dag=1)
        def publish(
            day: str, *, params: Any = None, dag_run: Any = None, outlet_events: Any = None
        ) -> dict[str, Any]:
            """Publish the recomputed bars as final."""
            published = session_tasks.publish(
                venue, day, dag_run,
                reason=session_tasks.reason_of(params), replaces_revert=params["replace_revert"],
            )  # fmt: skip
            outlet_events[BARS].extra = published
            return published

        @task
        def verify(published: dict[str, Any]) -> int:
            """Compare what is served now with the lake."""
            return session_tasks.verify(venue, published["session"])

        day = choose_session()
        archive = ArchiveJob(task_id="archive")
        recompute = BatchJob(
            task_id="recompute",
            job="recompute",
            arguments=["--venue", venue, "--session", day],
            trigger_rule=TriggerRule.NONE_FAILED,  # the archive is skipped where nothing is new
        )
        published = with_links(publish(day), SessionDrift(), QualityReports())
        day >> archive >> recompute
        with_links(quality_gate(day, recompute.output), QualityReports()) >> published
        verify(published)
    return dag


for code in Settings.from_env().venues:
    batch_recompute(code, Settings.from_env())
