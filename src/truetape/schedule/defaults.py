"""What all DAGs share: owner, tags, retries. A DAG file says what differs."""

from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from truetape.host.errors import ConfigError, GateClosedError, TransientError
from truetape.quality.dag_runs import DagRun

RUNBOOK = "docs/RUNBOOK.md"


class Tag(StrEnum):
    """The tags of the DAGs: which part of the pipeline, and how often."""

    BATCH = "batch layer"
    SPEED = "speed layer"
    UPKEEP = "upkeep"
    PER_SESSION = "per session"


RETRY = ExceptionRetryPolicy(
    rules=[
        RetryRule(ConfigError, RetryAction.FAIL, reason="somebody must change something first"),
        RetryRule(GateClosedError, RetryAction.FAIL, reason="the same data break the same rules"),
        RetryRule(
            TransientError,
            RetryAction.RETRY,
            retry_delay=timedelta(seconds=60),
            reason="a server was away; every step is safe to repeat",
        ),
    ]
)
"""Whether a failed task is tried again, by what it raised; all other errors take `retry_delay`."""


def triggered_by(dag_run: Any) -> str:
    """Return who is behind a run, as ledgers keep it: who triggered it, else what did."""
    run_type = getattr(dag_run.run_type, "value", dag_run.run_type)  # an enumeration in a task
    return f"airflow:{dag_run.triggering_user_name or run_type}"


def run_of(dag_run: Any) -> DagRun:
    """Return a run by its names, under which its quality reports are noted."""
    return DagRun(dag_run.dag_id, dag_run.run_id)


def default_args() -> dict[str, Any]:
    """Return what each task has unless it says otherwise."""
    return {
        "owner": "truetape",
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_policy": RETRY,
        "execution_timeout": timedelta(hours=1),
    }
