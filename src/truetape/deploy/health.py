"""Health checks of the containers: each asks whether its part does its work, not whether it is up.

Returns what is wrong, None when nothing is.
"""

import json
import socket
from typing import Any

from truetape.host.errors import TransientError
from truetape.host.http import call
from truetape.host.settings import Settings

AIRFLOW_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
"""As Airflow's API names the parts whose heartbeat it knows."""
_ILL = frozenset({"hung", "gone", "unknown"})


def airflow_problem(url: str, part: str) -> str | None:
    """Ask Airflow's API for the heartbeat of a part."""
    told = _told(url, "/api/v2/monitor/health")
    status = (told.get(part) or {}).get("status")
    return None if status == "healthy" else f"{part} is {status or 'unknown'}"


def master_problem(url: str) -> str | None:
    """Ask a Spark master whether it leads its cluster."""
    status = _told(url, "/json/").get("status")
    return None if status == "ALIVE" else f"the master is {status}"


def worker_problem(url: str, address: str) -> str | None:
    """Ask a Spark master whether it has a live worker at `address`."""
    workers: list[dict[str, Any]] = _told(url, "/json/").get("workers", [])
    states = [one["state"] for one in workers if one["host"] == address]
    if "ALIVE" in states:
        return None
    return f"the master knows no live worker at {address}, only {', '.join(states) or 'others'}"


def address_here() -> str:
    """Return this machine's address, by which a Spark worker names itself."""
    return socket.gethostbyname(socket.gethostname())


def speed_problem(settings: Settings) -> str | None:
    """Look at the speed layer: it must work if it was ordered to."""
    from truetape.speed.control_records import DesiredState
    from truetape.speed.supervision import status_of

    found = status_of(settings)
    if found.observed.problem is not None:
        return found.observed.problem
    is_wanted = found.desired.state is DesiredState.STARTED
    return found.reason if is_wanted and found.health.value in _ILL else None


def _told(url: str, path: str) -> dict[str, Any]:
    answer = call(url, "GET", path, None, {})
    if answer.status != 200:
        raise TransientError(f"{url}{path} answered {answer.status} {answer.text}")
    return dict(json.loads(answer.body))
