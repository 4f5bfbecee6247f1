"""InfluxDB killed while the speed layer's own write is at work in it."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from support.drivers import port_of, read_all, running
from support.loop import own_settings, send, served, truth_of
from support.wait import until
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.process import birth
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.serving.backends import open_store
from truetape.stack import lifecycle
from truetape.tour.speed_process import SpeedProcess

pytestmark = [pytest.mark.faults, pytest.mark.real, pytest.mark.long]

_LISTENING = "0A"


@pytest.fixture
def brought_back(stack: Settings) -> Iterator[Settings]:
    """Servers that a test may kill: they run again after it."""
    yield stack
    lifecycle.up(stack, report=lambda _: None)


def pid_of_influxd(settings: Settings) -> int:
    pids = [part.pid for part in lifecycle.status(settings) if part.part == "influx"]
    assert pids[0] is not None
    return pids[0]


def unread_bytes(port: int) -> int:
    """Return how many bytes have arrived at a port and were not read by its server."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port and state != _LISTENING:
            total += int(queues.rpartition(":")[2], 16)
    return total


@pytest.mark.parametrize(
    ("speed_engine", "on"), [("spark", date(2026, 3, 16)), ("direct", date(2026, 3, 17))]
)
def test_influxdb_killed_inside_a_write_of_the_speed_layer_loses_and_doubles_nothing(
    brought_back: Settings, tmp_path: Path, speed_engine: str, on: date
) -> None:
    """It has the request and has not answered: stopped until the bytes are there, then killed."""
    day = session(venues()["BATS"], on)
    own = own_settings(
        brought_back,
        tmp_path,
        speed_engine=speed_engine,
        speed_lateness_s=3_600,
        profile="sip",
        write_timeout_s=3.0,
        write_attempts=2,
    )
    plan = SimulationPlan(
        day.date, venue=day.venue, seed=9, trades=2_000, offset_s=600, duration_s=300,
        faults=NO_FAULTS,
    )  # fmt: skip
    made = simulate(plan)
    half = len(made.records) // 2
    with closing(open_store(own)) as store:
        store.ensure_buckets()
    with running(own) as driver:
        send(own, made.records[:half])
        read_all(driver, own)
        influxd = pid_of_influxd(brought_back)
        os.kill(influxd, signal.SIGSTOP)
        send(own, made.records[half:])
        until(lambda: is_writing(driver) and unread_bytes(port_of(own.influx_url)) > 0, 60)

        os.kill(influxd, signal.SIGKILL)

        until(lambda: birth(influxd) is None)
        assert driver.process.wait(120) == 75

    lifecycle.up(brought_back, report=lambda _: None)
    with running(own) as driver:
        read_all(driver, own)
        assert driver.stop() == 0
    with closing(open_store(own)) as store:
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


def is_writing(driver: SpeedProcess) -> bool:
    beat = driver.heartbeat()
    return beat is not None and bool(beat.writing)
