"""What all DAGs share: owner, tags, retries. A DAG file sets only what differs."""

from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from truetape.host.errors import ConfigError, GateClosedError, TransientError
from truetape.host.settings import Settings
from truetape.quality.dag_runs import DagRun
from truetape.schedule.ui_pages import PREFIX


class Tag(StrEnum):
    """The tags of the DAGs: a part of the pipeline, or that there is one run a session."""

    BATCH = "batch layer"
    SPEED = "speed layer"
    UPKEEP = "upkeep"
    PER_SESSION = "per session"


NO_BACKFILL: Any = ("scheduled", "manual", "asset_triggered")
"""`allowed_run_types` of a DAG that works on the present, whatever date a run has: Airflow refuses
to run it for past dates. Only `batch_recompute` has one session a run.
"""
RETRY = ExceptionRetryPolicy(
    rules=[
        RetryRule(ConfigError, RetryAction.FAIL, reason="somebody must change something first"),
        RetryRule(GateClosedError, RetryAction.FAIL, reason="the same data break the same rules"),
        RetryRule(
            PermissionError, RetryAction.FAIL, reason="somebody must give this user the right first"
        ),
        RetryRule(
            TransientError,
            RetryAction.RETRY,
            retry_delay=timedelta(seconds=60),
            reason="a server was away; every step is safe to repeat",
        ),
    ]
)
"""Whether a failed task is retried, by its error; all other errors are retried by `retry_delay`."""


def documentation(text: str) -> str:
    """Return a DAG's `doc_md`: its links to sections of `RUNBOOK.md` get the runbook's address.

    The console's page is named below Airflow's own address, so that the links work behind a proxy.
    """
    page = Settings.from_env().runbook_url or f"{PREFIX.strip('/')}/runbook"
    return text.replace("](RUNBOOK.md#", f"]({page}#")


def triggered_by(dag_run: Any) -> str:
    """Return who triggered a run, for ledgers: the user, or the run type if there was no user."""
    run_type = getattr(dag_run.run_type, "value", dag_run.run_type)  # an enum inside a task
    return f"airflow:{dag_run.triggering_user_name or run_type}"


def run_of(dag_run: Any) -> DagRun:
    """Return the ids of a run; its quality reports are recorded under them."""
    return DagRun(dag_run.dag_id, dag_run.run_id)


def default_args() -> dict[str, Any]:
    """Return the arguments that each task has unless it sets its own."""
    return {
        "owner": "truetape",
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_policy": RETRY,
        "execution_timeout": timedelta(hours=1),
    }
