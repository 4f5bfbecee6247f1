"""
### What it does
Serves an older rev of a session again, with exactly the same bars, under a new rev. The ledger of
publications records who did it and why. The session is then held at that rev: repairs skip it until
somebody publishes it with "Replace a reverted session" in the form of its `batch_recompute`.

The task `list_revs` lists the revs of the session with their time, author and reason, in its log
and under XCom. To see them first, leave "Rev" empty: that run writes nothing.

### What a failure means
- `list_revs`: there is no such session, or it was never published.
- `revert`: the session has no such rev, or the rev cannot be reconstructed exactly any more (the
  message says which). Nothing was written.
- `verify`: another program writes to the bar store.

### Is a re-run safe?
Yes. A second run makes zero edits.

### Runbook
[Reverting a session](RUNBOOK.md#reverting-a-session)
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from truetape.host.settings import Settings
from truetape.schedule import dag_names, session_tasks
from truetape.schedule.assets import BARS
from truetape.schedule.defaults import Tag, default_args, documentation, triggered_by
from truetape.schedule.forms import revert_form
from truetape.schedule.links import SessionDrift, with_links

with DAG(
    dag_names.REVERT_SESSION,
    description="Serves an older rev of a session again, or lists its revs.",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    default_args=default_args(),
    tags=[Tag.BATCH],
    doc_md=documentation(__doc__),
    params=revert_form(Settings.from_env().venues),
):

    @task
    def list_revs(*, params: Any = None) -> list[str]:
        """List the revs of the session."""
        return session_tasks.list_revs(params["venue"], params["session"])

    @task(outlets=[BARS])
    def revert(
        *, params: Any = None, dag_run: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Serve the older rev; skip if the form has none."""
        if params["rev"] is None:
            raise AirflowSkipException("no rev in the form; the task list_revs lists them")
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

    reverted = with_links(revert(), SessionDrift())
    list_revs() >> reverted
    verify(reverted)
