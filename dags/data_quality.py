"""
### What it does
After each archive run that brought something in, checks those records feed by feed: lost or doubled
offsets, rejections, lateness, repeat deliveries. After each publication, compares what is served of
that session with the lake. Rules are those of `schemas/expectations/feed.yaml` and `served.yaml`.
Each look leaves a report and metrics; flags in it stop nothing. By hand, it checks the feeds.

### What a failure means
A gate rule does not hold; the message names the rule and the report with its rows. Nothing is held
up by it: the archive goes on, and a session has its own gate before it is published. Looked at
again, the same records would not be found: the next run looks at what came behind them.

### Is a re-run safe?
Yes. A look changes nothing but its report and its metrics.

### Runbook
`docs/RUNBOOK.md#closed-gate`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.schedule import dag_names, quality_tasks
from truetape.schedule.assets import BARS, RAW
from truetape.schedule.defaults import Tag, default_args, run_of

with DAG(
    dag_names.DATA_QUALITY,
    schedule=(RAW | BARS),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=__doc__,
):

    @task(execution_timeout=timedelta(minutes=30))
    def check(*, triggering_asset_events: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Check what is new: in one task, since loading Great Expectations takes 15 s."""
        events = [event.extra for event in triggering_asset_events[BARS]]
        return quality_tasks.check(quality_tasks.published_sessions(events), run_of(dag_run))

    check()
