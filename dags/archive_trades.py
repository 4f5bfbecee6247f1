"""
### What it does
Every five minutes, copies each Kafka record that the lake lacks into the lake's table `raw`, once;
sends each rejected record to `trades.rejected`, once; counts the offsets of each partition and
names holes. New records update the asset `raw_trades`. A run that finds no new record is skipped.
Late trades, cancels and corrections mark symbols of recomputed sessions dirty. This updates the
asset `dirty_sessions`, which starts `repair_sessions`. `write_verdict` judges whether the served
bars are complete, as the overview does, for dashboards.

### What a failure means
The served bars do not change, whichever task fails.

- `archive`: Kafka is away, or has given old offsets to other records (the message says which).
- `check_completeness`: the lake lacks the offsets in the message. If Kafka still has them,
  `backfill_from_kafka` fills them. If Kafka deleted them before they were archived, they are lost:
  the task fails once for that, and later runs only log them.
- `write_metrics`, `write_verdict`: the bar store is away, and the dashboards lack this run.

### Is a re-run safe?
Yes, at any time. The archive skips records that it already has.

### Runbook
[Holes](RUNBOOK.md#holes), [dead letters](RUNBOOK.md#dead-letters),
[dirty sessions](RUNBOOK.md#dirty-sessions)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from truetape.host.private_home import current_settings
from truetape.schedule import archive_tasks, dag_names
from truetape.schedule.assets import DIRTY, RAW
from truetape.schedule.batch_job import ArchiveJob
from truetape.schedule.defaults import NO_BACKFILL, Tag, default_args, documentation

with DAG(
    dag_names.ARCHIVE_TRADES,
    description="Copies new trades from Kafka to the lake, every five minutes.",
    schedule="*/5 * * * *",
    catchup=False,
    allowed_run_types=NO_BACKFILL,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=documentation(__doc__),
):
    archive = ArchiveJob(task_id="archive")

    @task(outlets=[RAW])
    def announce_new_records(counts: dict[str, Any], *, outlet_events: Any = None) -> None:
        """Start the DAGs that check new records."""
        outlet_events[RAW].extra = {name: counts[name] for name in ("records", "dead_letters")}

    @task
    def check_completeness(counts: dict[str, Any]) -> None:
        """Fail if the lake lacks offsets that Kafka still has; log those that are lost."""
        archive_tasks.require_complete(counts)

    @task(outlets=[DIRTY])
    def announce_dirty_sessions(counts: dict[str, Any], *, outlet_events: Any = None) -> None:
        """Start the repair of sessions that the new records change."""
        if not counts["dirty"]:
            raise AirflowSkipException("no recomputed session changes")
        outlet_events[DIRTY].extra = {"sessions": counts["dirty"]}

    @task
    def write_metrics(counts: dict[str, Any]) -> None:
        """Write the counts to the bucket `pipeline`."""
        archive_tasks.write_metrics(current_settings(), counts)

    @task
    def write_verdict() -> str:
        """Judge whether the served bars are complete, and write the verdict for dashboards."""
        from truetape.schedule import verdict_tasks

        return verdict_tasks.write_verdict(current_settings())

    write_verdict()
    announce_new_records(archive.output)
    announce_dirty_sessions(archive.output)
    check_completeness(archive.output)
    write_metrics(archive.output)
