"""
### What it does
Serves an older rev of a session again, bar by bar as it was, under a new rev of its own; the
ledger of publications keeps who did it and why. The session is held there: repairs leave it alone,
until somebody publishes it with a reason (the form of its `batch_recompute`).

### What a failure means
`revert` red: there was no such rev, or it cannot be put together exactly any more (the message
says which). Nothing was written then. `verify` red: somebody else writes.

### Is a re-run safe?
Yes: a second run finds the rev served and makes zero edits.

### Runbook
`docs/RUNBOOK.md#reverting-a-session`
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from truetape.host.settings import Settings
from truetape.schedule import dag_names, session_tasks
from truetape.schedule.assets import BARS
from truetape.schedule.defaults import Tag, default_args, triggered_by
from truetape.schedule.forms import revert_form

with DAG(
    dag_names.REVERT_SESSION,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=__doc__,
    params=revert_form(Settings.from_env().venues),
):

    @task(outlets=[BARS])
    def revert(
        *, params: Any = None, dag_run: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Serve the older rev."""
        reverted = session_tasks.revert(
            params["venue"], params["session"], params["rev"],
            who=triggered_by(dag_run), reason=params["reason"],
        )  # fmt: skip
        outlet_events[BARS].extra = reverted
        return reverted

    @task
    def verify(reverted: dict[str, Any]) -> int:
        """Compare what is served now with that rev."""
        return session_tasks.verify(reverted["venue"], reverted["session"])

    verify(revert())
