"""
### What it does
Every night: brings the buckets of the bar store to what `influx/buckets.yaml` declares, merges
the small files of the lake and removes those that were replaced longer ago than
`TRUETAPE_LAKE_KEEP_H`, counts all of `raw` anew, which alone finds rows that it has lost, and
makes Airflow forget runs older than 30 days. Looks at the sessions of the last week: rows that are
served otherwise than they were published are written again, as a rev of their own.

### What a failure means
Nothing is lost and nothing is served wrong; disk and memory grow until it succeeds. `lake` red
after all tries: another writer changes the same table all the time, look for one that hangs.
`served` red: a session that is held at an older rev is served otherwise; revert it again.
`completeness` red: the lake lacks the offsets in the message; `backfill_from_kafka` fills them.

### Is a re-run safe?
Yes, at any time; each task does no more than its name says.

### Runbook
`docs/RUNBOOK.md#disk`, `docs/RUNBOOK.md#holes`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, maintenance_tasks
from truetape.schedule.archive_tasks import require_complete
from truetape.schedule.batch_job import BatchJob
from truetape.schedule.defaults import Tag, default_args

with DAG(
    dag_names.MAINTENANCE,
    schedule="30 4 * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    default_args=default_args(),
    tags=[Tag.UPKEEP],
    doc_md=__doc__,
):

    @task
    def buckets() -> list[str]:
        """Bring the buckets to what is declared."""
        return maintenance_tasks.declared_buckets()

    @task
    def lake() -> list[dict[str, Any]]:
        """Merge small files, remove replaced ones."""
        return maintenance_tasks.tidy_lake()

    @task
    def airflow_database() -> str:
        """Forget old runs."""
        return maintenance_tasks.clean_airflow()

    @task
    def completeness(counts: dict[str, Any]) -> None:
        """Fail when the lake lacks offsets that Kafka still has."""
        require_complete(counts)

    @task
    def served() -> list[dict[str, Any]]:
        """Serve again what is not served as it was published."""
        return maintenance_tasks.audit_served()

    recount = BatchJob(task_id="recount", job="archive", arguments=["--recount"])
    completeness(recount.output)
    buckets() >> served()
    lake()
    airflow_database()
