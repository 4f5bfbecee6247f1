"""
### What it does
Every five minutes, brings each Kafka record that the lake lacks into its table `raw`, once; sends
each rejected record to `trades.rejected`, once; counts the offsets of each partition and names
holes. New records are announced as the asset `raw`; a run that finds none is skipped at once.
Late trades, cancels and corrections mark symbols of recomputed sessions dirty, and these are
announced as the asset `dirty_sessions`, which wakes `repair_sessions`.
`verdict` judges whether the served bars are complete, as the overview does, for dashboards.

### What a failure means
`archive` red: Kafka is away, or gives old offsets to other records (the message says which).
`completeness` red: the lake lacks the offsets in the message, and Kafka still has them, or Kafka
has deleted them before they were archived: a loss that somebody must look at. That is red once;
from then on lost offsets are named in its log, since nothing brings them back. `metrics`
or `verdict` red: InfluxDB is away, and dashboards lack this run. Bars that are being served do not
change either way.

### Is a re-run safe?
Yes, at any time and as often as you like: what is archived is not archived again.

### Runbook
`docs/RUNBOOK.md#holes`, `docs/RUNBOOK.md#dead-letters`, `docs/RUNBOOK.md#dirty-sessions`.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from truetape.host.private_home import current_settings
from truetape.schedule import dag_names
from truetape.schedule.archive_tasks import require_complete, write_metrics
from truetape.schedule.assets import DIRTY, RAW
from truetape.schedule.batch_job import ArchiveJob
from truetape.schedule.defaults import Tag, default_args

with DAG(
    dag_names.ARCHIVE_TRADES,
    schedule="*/5 * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=__doc__,
):
    archive = ArchiveJob(task_id="archive")

    @task(outlets=[RAW])
    def announce(counts: dict[str, Any], *, outlet_events: Any = None) -> None:
        """Tell other DAGs of new records."""
        outlet_events[RAW].extra = {name: counts[name] for name in ("records", "dead_letters")}

    @task
    def completeness(counts: dict[str, Any]) -> None:
        """Fail when the lake lacks offsets that Kafka still has; name those that are lost."""
        require_complete(counts)

    @task(outlets=[DIRTY])
    def dirty(counts: dict[str, Any], *, outlet_events: Any = None) -> None:
        """Wake the repair of sessions that the new records change."""
        if not counts["dirty"]:
            raise AirflowSkipException("no recomputed session changes")
        outlet_events[DIRTY].extra = {"sessions": counts["dirty"]}

    @task
    def metrics(counts: dict[str, Any]) -> None:
        """Tell the bucket `pipeline` what was counted."""
        write_metrics(current_settings(), counts)

    @task
    def verdict() -> str:
        """Judge whether the served bars are complete, and write the verdict for dashboards."""
        from truetape.schedule.verdict_tasks import write_verdict

        return write_verdict(current_settings())

    verdict()
    announce(archive.output)
    dirty(archive.output)
    completeness(archive.output)
    metrics(archive.output)
