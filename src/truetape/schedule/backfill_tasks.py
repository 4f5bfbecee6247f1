"""Parses the form of the backfill's DAG, and decides the task that follows a plan."""

from collections.abc import Mapping
from typing import Any

from truetape.schedule.defaults import run_of, triggered_by

APPROVE, INGEST, FINALIZE = "approve", "ingest", "finalize"
"""Ids of the tasks that may follow a plan."""
NIGHTLY = {"by": "holes", "reason": "nightly, by schedule"}
"""The request of a scheduled run."""


def request(params: Mapping[str, Any], *, by_hand: bool) -> dict[str, Any]:
    """Return the request of a run as values of the form. Raise ConfigError if it is not valid.

    A plan needs no reason.
    """
    from truetape.batch.backfill_request import PLAN_ONLY, request_of

    values = {name: value for name, value in params.items() if name != "dry_run"}
    if params.get("dry_run") and not values.get("reason"):
        values["reason"] = PLAN_ONLY
    return request_of(values if by_hand else NIGHTLY).to_dict()


def checked_form(params: Mapping[str, Any], dag_run: Any) -> dict[str, str]:
    """Return the arguments of the job's steps as JSON: the request, and who started the run.

    Raise ConfigError if the form is not valid.
    """
    import json

    from truetape.pipeline.backfill_steps import requester

    by_hand = dag_run.run_type != "scheduled"
    return {
        "request": json.dumps(request(params, by_hand=by_hand)),
        "requester": requester(triggered_by(dag_run), run_of(dag_run)),
    }


def next_task(planned: Mapping[str, Any], *, dry_run: bool, approve_above: int) -> str | None:
    """Return the task that follows a plan; None if the run ends there."""
    if dry_run:
        return None
    if planned["to_ingest"] > approve_above:
        return APPROVE
    return INGEST if planned["to_ingest"] else FINALIZE
