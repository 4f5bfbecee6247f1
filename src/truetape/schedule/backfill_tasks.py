"""Parses the form of the backfill's DAG, and decides the task that follows a plan."""

from collections.abc import Mapping
from typing import Any

NIGHTLY = {"by": "holes", "reason": "nightly, by schedule"}
"""The request of a scheduled run."""


def request(params: Mapping[str, Any], *, by_hand: bool) -> dict[str, Any]:
    """Return the request of a run as values of the form. Raise ConfigError if it is not valid."""
    from truetape.batch.backfill_request import request_of

    values = {name: value for name, value in params.items() if name != "dry_run"}
    return request_of(values if by_hand else NIGHTLY).to_dict()


def next_task(planned: Mapping[str, Any], *, dry_run: bool, approve_above: int) -> str | None:
    """Return the task that follows a plan; None if the run ends there."""
    if dry_run:
        return None
    if planned["to_ingest"] > approve_above:
        return "approve"
    return "ingest" if planned["to_ingest"] else "settle"
