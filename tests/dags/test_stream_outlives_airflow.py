"""The stream runs on without Airflow, and whatever happens to the DAG that supervises it."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from support.airflow_user import airflow_state, component, kill_airflow, signed_in, unpause
from support.loop import send, served, truth_of
from support.supervised import signalled
from support.wait import until
from truetape.broker.offsets import end_offsets
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.schedule import dag_names
from truetape.serving.backends import open_store
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import Heartbeat, newest
from truetape.stack import lifecycle as local_stack
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.lifecycle import PartState

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.faults]

DAY = date(2026, 3, 12)
AWAY_S = 60.0
SLICE = 20
"""Trades sent at a time; all of them must last for more than a minute."""
DAG = dag_names.SPEED_LAYER


@pytest.fixture
def own(airflow: Settings) -> Iterator[Settings]:
    """The shared Airflow. After the test it runs again, without a speed layer."""
    yield airflow
    if (beat := newest(airflow.kafka, airflow.topic)) is not None:
        signalled(beat.driver, signal.SIGKILL)
    local_stack.up(airflow, ("airflow",), lambda _: None)
    for dag in (DAG, dag_names.SPEED_LAYER_CONTROL):
        unpause(signed_in(airflow, "operator"), dag, paused=True)


def test_the_stream_outlives_airflow_and_every_change_to_its_dag_run(
    own: Settings,
) -> None:
    day = session(venues()["BATS"], DAY)
    made = simulate(
        SimulationPlan(DAY, venue="BATS", seed=7, trades=3_000, offset_s=600, duration_s=300,
             faults=NO_FAULTS)
    )  # fmt: skip
    stream, operator = Stream(own, made.records), signed_in(own, "operator")
    for dag in (DAG, dag_names.SPEED_LAYER_CONTROL):
        unpause(operator, dag)

    run_to_success(operator, dag_names.SPEED_LAYER_CONTROL, {"action": "start", "reason": "tests"})
    until(lambda: newest(own.kafka, own.topic) is not None, 180)
    stream.send_slice()
    first = stream.beat()

    for word in ("scheduler", "triggerer", "api"):
        old_pid = component(own, word)
        os.kill(old_pid, signal.SIGKILL)
        stream.send_slice()
        until(lambda word=word, old=old_pid: component(own, word) not in (0, old), 60)
        until(lambda: airflow_state(own) is PartState.RUNNING, 120)
        stream.send_slice()

    kill_airflow(own)
    back_at = time.monotonic() + AWAY_S
    while time.monotonic() < back_at:
        stream.send_slice()
    assert airflow_state(own) is PartState.STOPPED
    local_stack.up(own, ("airflow",), lambda _: None)

    operator = signed_in(own, "operator")
    run = run_to_success(operator, DAG, {})
    assert stream.has_driver_of(first)
    clear(operator, run)
    stream.send_slice()
    operator.request("PATCH", f"/api/v2/dags/{DAG}/dagRuns/{run}", {"state": "failed"})
    unpause(operator, DAG, paused=True)
    stream.send_slice()
    stream.send_rest()

    assert stream.has_driver_of(first)
    assert processes_of(own) == {first.driver.pid}
    with closing(open_store(own)) as store:
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


class Stream:
    """Trades that are sent slice by slice, and the driver that reads them."""

    def __init__(self, settings: Settings, records: Sequence[Record]) -> None:
        self._settings = settings
        self._unsent = list(records)

    def send_slice(self) -> None:
        """Send one slice and wait until the driver has read all records in Kafka."""
        assert len(self._unsent) > SLICE, "more trades are needed"
        part, self._unsent = self._unsent[:SLICE], self._unsent[SLICE:]
        self._send(part)

    def send_rest(self) -> None:
        """Send all remaining trades and wait until the driver has read them."""
        self._send(self._unsent)

    def beat(self) -> Heartbeat:
        beat = newest(self._settings.kafka, self._settings.topic)
        assert beat is not None
        return beat

    def has_driver_of(self, first: Heartbeat) -> bool:
        """True if the same driver runs, under the same lease."""
        now = self.beat()
        return (now.driver, now.epoch) == (first.driver, first.epoch) and alive(now.driver)

    def _send(self, records: Sequence[Record]) -> None:
        send(self._settings, records)
        until(self._has_read_all, 120)

    def _has_read_all(self) -> bool:
        offsets = self.beat().offsets
        ends = end_offsets(self._settings.kafka, self._settings.topic)
        return all(offsets.get(str(part), 0) >= end for part, end in ends.items())


def alive(driver: Driver) -> bool:
    return life_of(driver) is Life.ALIVE


def processes_of(settings: Settings) -> set[int]:
    """Return the pids of all drivers of a topic, whoever started them."""
    pids = set()
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            is_ours = settings.topic.encode() in (folder / "environ").read_bytes()
        except (FileNotFoundError, NotADirectoryError, PermissionError, ProcessLookupError):
            continue
        if is_ours and {b"truetape.cli.main", b"speed", b"run"} <= set(command):
            pids.add(int(folder.name))
    return pids


def run_to_success(api: AirflowApi, dag: str, conf: dict[str, Any]) -> str:
    """Start a run and wait for its success; return its id."""
    run = api.request("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})[
        "dag_run_id"
    ]
    until(lambda: state_of(api, dag, run) in ("success", "failed"), 180)
    assert state_of(api, dag, run) == "success"
    return str(run)


def state_of(api: AirflowApi, dag: str, run: str) -> str:
    return str(api.request("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])


def clear(api: AirflowApi, run: str) -> None:
    """Clear a run's tasks, so that they run again, and wait until they have."""
    wanted = {"dag_run_id": run, "dry_run": False, "only_failed": False}
    api.request("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", wanted)
    until(lambda: state_of(api, DAG, run) == "success", 180)
