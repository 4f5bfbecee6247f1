"""The stack's Airflow through its REST API, with its own scheduler."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from support.airflow_user import airflow_state, component, signed_in, unpause
from support.loop import send, served, truth_of
from support.wait import until
from truetape.console.app import router
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars, process
from truetape.host.errors import ConfigError, TransientError
from truetape.host.http import call
from truetape.host.process import log_file, pid_file
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.stack import airflow_config
from truetape.stack import lifecycle as local_stack
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.lifecycle import PartState

pytestmark = [pytest.mark.real, pytest.mark.long]

DAG = "batch_recompute_xnys"
DAYS = [date(2025, 11, day) for day in (24, 25, 26, 28)] + [date(2025, 12, 1)]
"""Five sessions around Thanksgiving, which was closed; the 28th was a half day."""
SESSIONS = [calendars.session(venues()["XNYS"], day) for day in DAYS]
TROUBLED = Faults(late=0.01, duplicate=0.02, cancel=0.01, correct=0.01)
LISTEN = "0A"


@pytest.fixture
def operator(airflow: Settings) -> AirflowApi:
    """The API, signed in as the operator."""
    return signed_in(airflow, "operator")


def listening(pid: int) -> set[str]:
    """Return the addresses on which a process listens, in the kernel's hex (proc_net(5))."""
    links = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(file.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == LISTEN and row[9] in mine}


def pids(settings: Settings) -> list[int]:
    """Return the pids of all processes of the stack's Airflow."""
    running = process.find(pid_file(settings, "airflow"))
    assert running is not None
    return process.session(running)


def test_airflow_listens_only_on_loopback(airflow: Settings) -> None:
    addresses = set().union(*(listening(pid) for pid in pids(airflow)))

    assert addresses == {"0100007F"}  # 127.0.0.1, the kernel's byte order


def test_no_environment_command_line_or_log_contains_a_secret(airflow: Settings) -> None:
    files = [file for file in (airflow.home / "secrets").iterdir() if "airflow" in file.name]
    values = [file.read_text().strip() for file in files]
    values += [secret.reveal() for secret in airflow_config.passwords(airflow).values()]
    readable = [
        Path(f"/proc/{pid}/{name}") for pid in pids(airflow) for name in ("environ", "cmdline")
    ]
    readable += [*(airflow.home / "logs").iterdir(), airflow.home / "airflow" / "airflow.cfg"]

    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    for path in readable:
        try:
            content = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):  # a process that ended meanwhile
            continue
        assert not [value for value in values if value.encode() in content], path


@pytest.mark.parametrize(("user", "may"), [("viewer", False), ("operator", True), ("admin", True)])
def test_an_operator_may_pause_a_dag_and_a_viewer_may_not(
    airflow: Settings, operator: AirflowApi, user: str, may: bool
) -> None:
    api = signed_in(airflow, user)

    assert api.has_dag("maintenance")
    if may:
        unpause(api, "maintenance", paused=True)
    else:
        with pytest.raises(ConfigError, match="403"):
            unpause(api, "maintenance", paused=True)


def test_the_api_rejects_a_request_without_a_password(airflow: Settings) -> None:
    api = AirflowApi(f"http://127.0.0.1:{airflow.airflow_port}")

    with pytest.raises(ConfigError, match="401"):
        api.request("GET", "/api/v2/dags")


PAGES = {
    "": 200,
    "market": 200,
    "market/chart?symbol=NONE": 404,
    "market/bar?symbol=NONE&start_ns=1": 404,
    "drift": 200,
    "drift/session?venue=XNYS&session=2026-03-09": 200,
    "quality": 200,
    "quality/report?run=none": 404,
    "quality/run?dag=data_quality&run=manual__1": 200,
    "backfill": 200,
    "files/console.css": 200,
    "files/lightweight-charts.js": 200,
}
"""The status of each route for a signed-in user, in a stack that has served nothing yet."""


def test_every_route_of_the_console_is_listed() -> None:
    routes = {route.path.lstrip("/") for route in router.routes if isinstance(route, APIRoute)}

    assert routes == {path.partition("?")[0] for path in PAGES} - {"files/console.css"} | {
        "files/{name}"
    }


@pytest.mark.parametrize(("path", "status"), PAGES.items(), ids=PAGES)
def test_the_console_answers_only_signed_in_users(
    airflow: Settings, path: str, status: int
) -> None:
    page = f"/truetape/{path}"
    url = f"http://127.0.0.1:{airflow.airflow_port}"
    bad = {"Authorization": "Bearer nobody"}

    assert call(url, "GET", page, None, {}, timeout_s=60).status == 401
    assert call(url, "GET", page, None, bad, timeout_s=60).status in (401, 403)
    for user in ("viewer", "operator"):
        token = signed_in(airflow, user).token
        assert token is not None
        mine = {"Authorization": f"Bearer {token.reveal()}"}
        assert call(url, "GET", page, None, mine, timeout_s=60).status == status


def test_the_menu_lists_the_pages_of_the_console(operator: AirflowApi) -> None:
    (ours,) = [
        plugin
        for plugin in operator.request("GET", "/api/v2/plugins")["plugins"]
        if plugin["name"] == "truetape"
    ]

    assert [view["href"] for view in ours["external_views"]] == [
        "truetape/", "truetape/market", "truetape/drift", "truetape/quality", "truetape/backfill",
        "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}",
    ]  # fmt: skip


def test_every_dag_loads_and_the_batch_dag_has_its_next_session(
    operator: AirflowApi,
) -> None:
    errors = operator.request("GET", "/api/v2/importErrors")
    dags = {dag["dag_id"]: dag for dag in operator.request("GET", "/api/v2/dags")["dags"]}

    assert errors["import_errors"] == []
    assert {DAG, "archive_trades", "maintenance"} <= dags.keys()
    assert dags[DAG]["timetable_summary"] == "XNYS close + 4 h 15 min"
    assert dags[DAG]["next_dagrun_logical_date"] is not None


def test_a_backfill_over_five_sessions_makes_each_final_once(
    airflow: Settings, operator: AirflowApi
) -> None:
    """Backwards, two at a time, over a holiday and a half day."""
    made = [
        simulate(
            SimulationPlan(
                day, seed=day.day, trades=300, offset_s=0, duration_s=60, faults=TROUBLED
            )
        )
        for day in DAYS
    ]
    for simulated in made:
        send(airflow, simulated.records)
    unpause(operator, DAG)

    until(lambda: start_backfill(operator), within_s=60)
    most = wait_for_end(operator)
    unpause(operator, DAG, paused=True)

    runs = backfill_runs(operator)
    assert [run["state"] for run in runs] == ["success"] * 5, states(operator, runs)
    assert [run["data_interval_end"] for run in runs] == [
        "2025-11-24T21:00:00Z", "2025-11-25T21:00:00Z", "2025-11-26T21:00:00Z",
        "2025-11-28T18:00:00Z", "2025-12-01T21:00:00Z",
    ]  # fmt: skip
    assert most <= 2
    begun = [run["start_date"] for run in runs]
    assert begun == sorted(begun, reverse=True)
    with closing(open_store(airflow)) as store:
        for session, truth in zip(SESSIONS, made, strict=True):
            assert served(store, session) == truth_of(truth, session)
            bars = store.read(
                Resolution.MINUTE, session.start_ns, session.end_ns, venue=session.venue
            )
            assert {(bar.final, bar.rev) for bar in bars} == {(True, 1)}
    assert Counter(
        (row.session, row.rev)
        for session in SESSIONS
        for row in publications(airflow.lake, session)
    ) == Counter((day, 1) for day in DAYS)


def backfill_runs(api: AirflowApi) -> list[dict[str, Any]]:
    """Return the runs of backfills, oldest session first."""
    answer = api.request("GET", f"/api/v2/dags/{DAG}/dagRuns?run_type=backfill&limit=20")
    return sorted(answer["dag_runs"], key=lambda run: run["logical_date"])


def start_backfill(api: AirflowApi) -> bool:
    """Start the backfill. Return False if Airflow refuses because its SQLite is being written."""
    wanted = {
        "dag_id": DAG,
        "from_date": "2025-11-24T00:00:00Z",
        "to_date": "2025-12-02T00:00:00Z",
        "run_backwards": True,
        "max_active_runs": 2,
        "reprocess_behavior": "none",
        "dag_run_conf": {},
    }
    try:
        return api.request("POST", "/api/v2/backfills", wanted)["dag_id"] == DAG
    except TransientError:
        return False


def wait_for_end(api: AirflowApi) -> int:
    """Wait for the end of the backfill; return the highest number of runs at one time."""
    most = 0

    def is_over() -> bool:
        nonlocal most
        runs = backfill_runs(api)
        most = max(most, sum(1 for run in runs if run["state"] == "running"))
        return len(runs) == 5 and all(run["state"] in ("success", "failed") for run in runs)

    until(is_over, within_s=900)
    return most


def states(api: AirflowApi, runs: list[dict[str, Any]]) -> str:
    """Return the states of the tasks of runs, for a message."""
    by_run = {}
    for run in runs:
        path = f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances"
        tasks = api.request("GET", path)["task_instances"]
        by_run[run["logical_date"]] = {task["task_id"]: task["state"] for task in tasks}
    return json.dumps(by_run, indent=1)


@pytest.mark.faults
@pytest.mark.parametrize("word", ["scheduler", "triggerer", "dag-processor", "api"])
def test_a_killed_component_is_restarted(airflow: Settings, word: str) -> None:
    killed = component(airflow, word)
    os.kill(killed, signal.SIGKILL)

    until(lambda: component(airflow, word) not in (0, killed), within_s=30)
    until(lambda: airflow_state(airflow) is PartState.RUNNING, within_s=120)
    assert f"name={word}" in log_file(airflow, "airflow").read_text()


@pytest.fixture
def restarted(airflow: Settings) -> Iterator[Settings]:
    """An Airflow that a test may stop; it is started again after the test."""
    yield airflow
    local_stack.up(airflow, ("airflow",), lambda _: None)


@pytest.mark.faults
def test_sigterm_to_airflow_leaves_no_running_worker(
    restarted: Settings, operator: AirflowApi
) -> None:
    """As a service manager stops it, while tasks run and others wait for a worker."""
    running = process.find(pid_file(restarted, "airflow"))
    assert running is not None
    unpause(operator, "maintenance")
    operator.request("POST", "/api/v2/dags/maintenance/dagRuns", {"logical_date": None})
    until(lambda: working(operator, "maintenance") > 1, within_s=60)

    os.killpg(running.pid, signal.SIGTERM)

    until(lambda: not process.is_alive(running), within_s=60)
    assert process.session(running) == []


def working(api: AirflowApi, dag: str) -> int:
    """Return the number of running tasks of a DAG."""
    path = f"/api/v2/dags/{dag}/dagRuns/~/taskInstances?state=running"
    return len(api.request("GET", path)["task_instances"])


@pytest.mark.faults
def test_stack_up_ends_the_processes_that_a_kill_left_and_stack_down_ends_all(
    restarted: Settings,
) -> None:
    airflow = restarted
    running = process.find(pid_file(airflow, "airflow"))
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: airflow_state(airflow) is PartState.STOPPED)
    assert process.session(running) != []

    reported: list[str] = []
    local_stack.up(airflow, ("airflow",), reported.append)

    assert any("that an earlier one" in line for line in reported)
    assert process.session(running) == []
    assert airflow_state(airflow) is PartState.RUNNING
    started = process.find(pid_file(airflow, "airflow"))
    assert started is not None
    local_stack.down(airflow, reported.append)
    assert process.session(started) == []
    assert any("airflow: stopped" in line for line in reported)
