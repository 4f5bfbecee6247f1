"""
### What it does
Fills holes of the lake from Kafka: exactly the missing offsets, then the sessions that they touch.
The plan says first, before anything is written, which offsets are archived, which are missing and
in Kafka, which Kafka has dropped, and which sessions the missing ones belong to. By hand it ends
there unless "Dry run" is off; every night it fills all holes by itself. More records than
`TRUETAPE_BACKFILL_APPROVE_ABOVE` wait for a person's approval.

### What a failure means
`form` red: the form asks for two things at once, or gives no reason. `ingest` red: nothing was
written, or `raw` did not get as many rows as were missing (the message says which). `settle` red:
the records are in the lake, and a session is not final yet; the next run settles it.

### Is a re-run safe?
Yes. What is archived is not ingested again, and a session that is final gets zero edits.

### Runbook
`docs/RUNBOOK.md#backfill`
"""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param, TriggerRule, task

from truetape.batch.backfill_request import FORM
from truetape.host.private_home import current_settings
from truetape.schedule import backfill_tasks, dag_names
from truetape.schedule.assets import RAW
from truetape.schedule.batch_job import BatchJob
from truetape.schedule.defaults import Tag, default_args, run_of, triggered_by

APPROVE_WITHIN = timedelta(hours=3)
PARAMS = {
    name: Param(**{**field, "type": ["null", "string"]} if name == "reason" else field)
    for name, field in FORM.items()
}

with DAG(
    dag_names.BACKFILL_FROM_KAFKA,
    schedule=CronTriggerTimetable("15 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=__doc__,
    params=PARAMS,
):

    @task
    def form(*, params: Any = None, dag_run: Any = None) -> str:
        """Read the form; what goes together is checked here, before anything starts."""
        import json

        by_hand = dag_run.run_type != "scheduled"
        return json.dumps(backfill_tasks.request(params, by_hand=by_hand))

    @task.branch
    def decide(planned: dict[str, Any], *, params: Any = None, dag_run: Any = None) -> list[str]:
        """Go on with a plan that may be carried out; a dry run ends here."""
        dry_run = params["dry_run"] and dag_run.run_type != "scheduled"
        limit = current_settings().backfill_approve_above
        chosen = backfill_tasks.next_task(planned, dry_run=dry_run, approve_above=limit)
        return [] if chosen is None else [chosen]

    @task
    def who(*, dag_run: Any = None) -> str:
        """Say who started the run, and which it is; kept with publications and reports."""
        from truetape.pipeline.backfill_steps import requester

        return requester(triggered_by(dag_run), run_of(dag_run))

    plan = BatchJob(task_id="plan", job="backfill", arguments=["plan", form()])
    approve = ApprovalOperator(
        task_id="approve",
        subject="Ingest {{ ti.xcom_pull('plan')['to_ingest'] }} records?",
        body="Sessions: {{ ti.xcom_pull('plan')['sessions'] | join(', ') }}. "
        "Lost to retention: {{ ti.xcom_pull('plan')['lost_offsets'] or 'nothing' }}.",
        response_timeout=APPROVE_WITHIN,
    )
    ingest = BatchJob(
        task_id="ingest",
        job="backfill",
        arguments=["ingest", "{{ ti.xcom_pull('plan')['digest'] }}"],
        outlets=[RAW],
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    settle = BatchJob(
        task_id="settle",
        job="backfill",
        arguments=["settle", who()],
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    decided = decide(plan.output)
    decided >> [approve, ingest, settle]
    approve >> ingest >> settle
