"""Health checks of the containers: whether a part does its work, not only whether it runs.

Each check returns the problem, or None. Repairs nothing.
"""

import json
import socket
from typing import Any

from truetape.host.errors import TransientError
from truetape.host.http import call
from truetape.host.settings import Settings

AIRFLOW_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
"""The parts with a heartbeat, as Airflow's API names them."""
_UNHEALTHY = frozenset({"hung", "gone", "unknown"})


def airflow_problem(url: str, part: str) -> str | None:
    """Check the heartbeat of a part, as Airflow's API reports it."""
    report = _json(url, "/api/v2/monitor/health")
    status = (report.get(part) or {}).get("status")
    return None if status == "healthy" else f"{part} is {status or 'unknown'}"


def master_problem(url: str) -> str | None:
    """Check that a Spark master leads its cluster."""
    status = _json(url, "/json/").get("status")
    return None if status == "ALIVE" else f"the master is {status}"


def worker_problem(url: str, address: str) -> str | None:
    """Check that a Spark master has a live worker at `address`."""
    workers: list[dict[str, Any]] = _json(url, "/json/").get("workers", [])
    states = [worker["state"] for worker in workers if worker["host"] == address]
    if "ALIVE" in states:
        return None
    return f"the master has no live worker at {address}, only {', '.join(states) or 'others'}"


def address_here() -> str:
    """Return this machine's address, which a Spark worker registers under."""
    return socket.gethostbyname(socket.gethostname())


def speed_problem(settings: Settings) -> str | None:
    """Check that the speed layer works, if its desired state is started."""
    from truetape.speed.control_records import DesiredState
    from truetape.speed.supervision import status_of

    status = status_of(settings)
    if status.observed.problem is not None:
        return status.observed.problem
    is_started = status.desired.state is DesiredState.STARTED
    return status.reason if is_started and status.health.value in _UNHEALTHY else None


def _json(url: str, path: str) -> dict[str, Any]:
    answer = call(url, "GET", path, None, {})
    if answer.status != 200:
        raise TransientError(f"{url}{path} answered {answer.status} {answer.text}")
    return dict(json.loads(answer.body))
