"""
### What it does
Every night:

- changes the buckets of the bar store to what `influx/buckets.yaml` declares;
- compares the served bars of the last week with what was published, and writes rows that differ
  again, as a new rev;
- merges the small files of the lake, and deletes files that were replaced longer ago than
  `TRUETAPE_LAKE_KEEP_H`;
- recounts all of `raw`, which finds rows that it has lost;
- deletes Airflow's runs that are older than 30 days.

### What a failure means
Nothing is lost and nothing wrong is served. Disk and memory grow until it succeeds.

- `compact_lake` after all tries: another writer changes the same table all the time; look for one
  that hangs.
- `audit_served_bars`: a reverted session does not serve the bars of its rev; revert it again.
- `check_completeness`: the lake lacks the offsets in the message; `backfill_from_kafka` fills them.

### Is a re-run safe?
Yes, at any time.

### Runbook
[Disk](RUNBOOK.md#disk), [holes](RUNBOOK.md#holes)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, maintenance_tasks
from truetape.schedule.archive_tasks import require_complete
from truetape.schedule.batch_job import BatchJob
from truetape.schedule.defaults import NO_BACKFILL, Tag, default_args, documentation

with DAG(
    dag_names.MAINTENANCE,
    description="Nightly upkeep of the bar store, the lake and Airflow's own database.",
    schedule="30 4 * * *",
    catchup=False,
    allowed_run_types=NO_BACKFILL,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    default_args=default_args(),
    tags=[Tag.UPKEEP],
    doc_md=documentation(__doc__),
):

    @task
    def update_buckets() -> list[str]:
        """Change the buckets to what is declared."""
        return maintenance_tasks.declared_buckets()

    @task
    def compact_lake() -> list[dict[str, Any]]:
        """Merge small files, delete replaced ones."""
        return maintenance_tasks.tidy_lake()

    @task
    def clean_airflow_database() -> str:
        """Delete old runs."""
        return maintenance_tasks.clean_airflow()

    @task
    def check_completeness(counts: dict[str, Any]) -> None:
        """Fail if the lake lacks offsets that Kafka still has."""
        require_complete(counts)

    @task
    def audit_served_bars() -> list[dict[str, Any]]:
        """Write rows again that are not served as they were published."""
        return maintenance_tasks.audit_served()

    recount = BatchJob(task_id="recount_offsets", job="archive", arguments=["--recount"])
    check_completeness(recount.output)
    update_buckets() >> audit_served_bars()
    compact_lake()
    clean_airflow_database()
