"""Actions on the stack's Airflow: sign in, pause a DAG, find a component, kill all of it."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from truetape.host import process
from truetape.host.process import pid_file
from truetape.host.settings import Settings
from truetape.stack import airflow_config
from truetape.stack import lifecycle as local_stack
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.lifecycle import PartState


def signed_in(settings: Settings, user: str) -> AirflowApi:
    """Return the API, signed in as one of the stack's users."""
    api = AirflowApi(f"http://127.0.0.1:{settings.airflow_port}")
    return api.signed_in(user, airflow_config.passwords(settings)[user])


def unpause(api: AirflowApi, dag: str, paused: bool = False) -> None:
    """Unpause a DAG, or pause it."""
    api.request("PATCH", f"/api/v2/dags/{dag}", {"is_paused": paused})


def component(settings: Settings, word: str) -> int:
    """Return the pid of one of the four components; 0 if it does not run."""
    running = process.find(pid_file(settings, "airflow"))
    assert running is not None
    for pid in process.session(running):
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if parent == running.pid and word in title:
            return pid
    return 0


def airflow_state(settings: Settings) -> PartState:
    """Return the state of Airflow by `truetape stack status`."""
    [airflow] = [part for part in local_stack.status(settings) if part.part == "airflow"]
    return airflow.state


def kill_airflow(settings: Settings) -> None:
    """Kill every process of the stack's Airflow at once."""
    running = process.find(pid_file(settings, "airflow"))
    assert running is not None
    for pid in process.session(running):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
