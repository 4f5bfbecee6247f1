"""
### What it does
After each archive run with new records, checks those records feed by feed: lost or doubled
offsets, rejections, lateness, repeated deliveries. After each publication, compares the served bars
of that session with the lake. The rules are in `schemas/expectations/feed.yaml` and `served.yaml`.
Each check writes a report and metrics. A run by hand checks the feeds.

### What a failure means
A gate rule is broken. The message names the rule and the report with its rows. This stops nothing:
the archive continues, and a session has its own gate before it is published. A re-run checks newer
records, not the same ones.

### Is a re-run safe?
Yes. A check writes its report and its metrics only.

### Runbook
[Closed gate](RUNBOOK.md#closed-gate)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, quality_tasks
from truetape.schedule.assets import BARS, RAW
from truetape.schedule.defaults import Tag, default_args, documentation, run_of
from truetape.schedule.links import QualityReports, with_links

with DAG(
    dag_names.DATA_QUALITY,
    description="Checks newly archived records and newly published bars.",
    schedule=(RAW | BARS),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=documentation(__doc__),
):

    @task(execution_timeout=timedelta(minutes=30))
    def check_new_data(
        *, triggering_asset_events: Any = None, dag_run: Any = None
    ) -> dict[str, Any]:
        """Check what is new: in one task, since loading Great Expectations takes 15 s."""
        events = [event.extra for event in triggering_asset_events[BARS]]
        return quality_tasks.check(quality_tasks.published_sessions(events), run_of(dag_run))

    with_links(check_new_data(), QualityReports())
