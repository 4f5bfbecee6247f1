"""
### What it does
Fills holes of the lake from Kafka: fetches exactly the missing offsets, then recomputes and
publishes the sessions that they affect. It plans first, before anything is written: which offsets
are archived, which are missing and still in Kafka, which Kafka has deleted, and which sessions the
missing ones belong to. A run by hand ends there unless "Plan only" is unticked. Every night a run
fills all holes by itself. More records than `TRUETAPE_BACKFILL_APPROVE_ABOVE` wait for a person's
approval.

This is not Airflow's own "Backfill" of the trigger dialog, which runs a DAG for past dates and is
refused here. Choose "Single Run".

### What a failure means
- `check_form`: the form asks for two things at once, or lacks a field or a reason.
- `ingest`: nothing was written, or `raw` did not get as many rows as were missing (the message says
  which).
- `finalize`: the records are in the lake, and a session is not final yet. The next run does it.

### Is a re-run safe?
Yes. A second run fetches nothing that the lake has, and a session that is final gets zero edits.

### Runbook
[Backfill](RUNBOOK.md#backfill)
"""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule, task

from truetape.host.private_home import current_settings
from truetape.schedule import backfill_tasks, dag_names
from truetape.schedule.assets import RAW
from truetape.schedule.batch_job import BatchJob
from truetape.schedule.defaults import NO_BACKFILL, Tag, default_args, documentation
from truetape.schedule.forms import backfill_form

APPROVE_WITHIN = timedelta(hours=3)

with DAG(
    dag_names.BACKFILL_FROM_KAFKA,
    description="Fills holes of the lake with records that Kafka still has. By hand, plans first.",
    schedule=CronTriggerTimetable("15 3 * * *", timezone="UTC"),
    catchup=False,
    allowed_run_types=NO_BACKFILL,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=documentation(__doc__),
    params=backfill_form(),
):

    @task
    def check_form(*, params: Any = None, dag_run: Any = None) -> dict[str, str]:
        """Check the form, before anything starts, and note who started the run."""
        return backfill_tasks.checked_form(params, dag_run)

    @task.branch
    def choose_next_task(
        planned: dict[str, Any], *, params: Any = None, dag_run: Any = None
    ) -> list[str]:
        """End the run after a plan; otherwise fetch, or ask for an approval first."""
        dry_run = params["dry_run"] and dag_run.run_type != "scheduled"
        limit = current_settings().backfill_approve_above
        chosen = backfill_tasks.next_task(planned, dry_run=dry_run, approve_above=limit)
        return [] if chosen is None else [chosen]

    form = check_form()
    plan = BatchJob(task_id="plan", job="backfill", arguments=["plan", form["request"]])
    approve = ApprovalOperator(
        task_id=backfill_tasks.APPROVE,
        subject="Fetch {{ '{:,}'.format(ti.xcom_pull('plan')['to_ingest']) }} records from Kafka?",
        body="Sessions: {{ ti.xcom_pull('plan')['sessions'] | join(', ') }}. "
        "Lost for good: {{ ti.xcom_pull('plan')['lost_offsets'] or 'nothing' }}.",
        response_timeout=APPROVE_WITHIN,
    )
    ingest = BatchJob(
        task_id=backfill_tasks.INGEST,
        job="backfill",
        arguments=["ingest", "{{ ti.xcom_pull('plan')['digest'] }}"],
        outlets=[RAW],
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    finalize = BatchJob(
        task_id=backfill_tasks.FINALIZE,
        job="backfill",
        arguments=["finalize", form["requester"]],
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    choose_next_task(plan.output) >> [approve, ingest, finalize]
    approve >> ingest >> finalize
