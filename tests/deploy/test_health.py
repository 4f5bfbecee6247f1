"""What makes a container unhealthy: no heartbeat, no leader, no worker, no speed layer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from truetape.cli.main import truetape as command_line
from truetape.deploy import health
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.speed import supervision
from truetape.speed.control_records import NO_COMMAND, Desired, DesiredState
from truetape.speed.observation import Health, Observed


@contextmanager
def answering(status: int, answer: object) -> Iterator[str]:
    """Run a server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


HEARTBEATS = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "unhealthy"},
    "triggerer": {"status": None},
}


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("metadatabase", None),
        ("scheduler", "scheduler is unhealthy"),
        ("triggerer", "triggerer is unknown"),
        ("dag_processor", "dag_processor is unknown"),
    ],
)
def test_each_part_of_airflow_is_checked_by_its_own_heartbeat(
    part: str, problem: str | None
) -> None:
    with answering(200, HEARTBEATS) as url:
        assert health.airflow_problem(url, part) == problem


def test_an_api_that_does_not_answer_200_is_a_transient_error() -> None:
    with answering(503, {}) as url, pytest.raises(TransientError, match="503"):
        health.airflow_problem(url, "scheduler")
    with pytest.raises(TransientError, match="did not answer"):
        health.airflow_problem(url, "scheduler")


@pytest.mark.parametrize(
    ("status", "problem"), [("ALIVE", None), ("STANDBY", "the master is STANDBY")]
)
def test_a_master_must_lead(status: str, problem: str | None) -> None:
    with answering(200, {"status": status}) as url:
        assert health.master_problem(url) == problem


@pytest.mark.parametrize(
    ("workers", "is_well"),
    [
        ([], False),
        ([{"host": "10.0.0.7", "state": "ALIVE"}], True),
        ([{"host": "10.0.0.8", "state": "ALIVE"}], False),
        ([{"host": "10.0.0.7", "state": "DEAD"}], False),
        ([{"host": "10.0.0.7", "state": "DEAD"}, {"host": "10.0.0.7", "state": "ALIVE"}], True),
    ],
    ids=["none", "alive", "another", "dead", "came back"],
)
def test_a_worker_must_be_registered_with_its_master(
    workers: list[dict[str, Any]], is_well: bool
) -> None:
    with answering(200, {"workers": workers}) as url:
        assert (health.worker_problem(url, "10.0.0.7") is None) == is_well


@dataclass
class FakeStatus:
    """As much of a status as the check looks at."""

    health: Health
    desired: Desired
    observed: Observed
    reason: str = "what is wrong"


@pytest.mark.parametrize(
    ("ordered", "found", "is_well"),
    [
        (DesiredState.STARTED, Health.HEALTHY, True),
        (DesiredState.STARTED, Health.STARTING, True),
        (DesiredState.STARTED, Health.LAGGING, True),
        (DesiredState.STARTED, Health.HUNG, False),
        (DesiredState.STARTED, Health.GONE, False),
        (DesiredState.STOPPED, Health.GONE, True),
        (DesiredState.STOPPED, Health.HUNG, True),
    ],
)
def test_the_speed_layer_must_work_if_its_desired_state_is_started(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    ordered: DesiredState,
    found: Health,
    is_well: bool,
) -> None:
    desired = replace(NO_COMMAND, state=ordered)
    monkeypatch.setattr(supervision, "status_of", lambda _: FakeStatus(found, desired, Observed()))

    assert (health.speed_problem(settings) is None) == is_well


def test_an_unreadable_kafka_makes_the_speed_layer_unhealthy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Observed(problem="no metadata")
    status = FakeStatus(Health.UNKNOWN, NO_COMMAND, away)
    monkeypatch.setattr(supervision, "status_of", lambda _: status)

    assert health.speed_problem(settings) == "no metadata"


def test_the_verb_exits_with_75_if_a_part_does_not_work() -> None:
    with answering(200, HEARTBEATS) as url:
        words = ["deploy", "health", "--url", url]
        ill = CliRunner().invoke(command_line, [*words, "scheduler"])
        well = CliRunner().invoke(command_line, [*words, "metadatabase"])

    assert (ill.exit_code, ill.output) == (75, "scheduler is unhealthy\n")
    assert (well.exit_code, well.output) == (0, "works\n")
