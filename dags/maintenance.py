"""
### What it does
Every night: brings the buckets of the bar store to what `influx/buckets.yaml` declares, merges
the small files of the lake and removes those that were replaced longer ago than
`TRUETAPE_LAKE_KEEP_H`, and makes Airflow forget runs older than 30 days.

### What a failure means
Nothing is lost and nothing is served wrong; disk and memory grow until it succeeds. `lake` red
after three tries: another writer changes the same table all the time, look for one that hangs.

### Is a re-run safe?
Yes, at any time; the three tasks do not depend on each other.

### Runbook
`docs/RUNBOOK.md#disk`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, upkeep_tasks
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
        return upkeep_tasks.declared_buckets()

    @task
    def lake() -> list[dict[str, Any]]:
        """Merge small files, remove replaced ones."""
        return upkeep_tasks.tidy_lake()

    @task
    def airflow_database() -> str:
        """Forget old runs."""
        return upkeep_tasks.clean_airflow()

    buckets()
    lake()
    airflow_database()
