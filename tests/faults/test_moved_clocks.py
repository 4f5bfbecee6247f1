"""A clock that is days off on the host of one process, while those of the servers are right."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import pytest

from support.drifting import printed
from support.loop import own_settings, send, served, truth_of
from support.moved_clock import moved_clock
from support.publisher import publishing
from support.session_lake import lake_session
from support.supervised import POLICY
from truetape.broker.offsets import end_offsets
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.pipeline.publish import PublishOptions, publish_once
from truetape.publish.verification import verify
from truetape.serving.backends import open_store
from truetape.speed.launcher import command, environment
from truetape.speed.observation import Health
from truetape.speed.supervision import status_of
from truetape.tour.speed_process import SpeedProcess

pytestmark = [pytest.mark.faults, pytest.mark.real, pytest.mark.long]

OLD_DAY = date(2024, 11, 22)
THREE_DAYS_S = 3 * 86_400
MOVED = pytest.mark.parametrize(
    "seconds", [-THREE_DAYS_S, THREE_DAYS_S], ids=["days behind", "days ahead"]
)


@MOVED
def test_a_publisher_with_a_wrong_clock_publishes_and_takes_turns(
    stack: Settings, tmp_path: Path, seconds: int
) -> None:
    day = session(venues()["IEXG" if seconds > 0 else "USEQ"], date(2024, 11, 22))
    own = own_settings(stack, tmp_path)
    with closing(open_store(own)) as store:
        store.ensure_buckets()
    trades = [printed(60 * minute, "100", venue=day.venue) for minute in range(20)]
    lake_session(trades, day).write(own.lake)

    with publishing(own, day, environment=moved_clock(tmp_path, seconds)) as publisher:
        code, output = publisher.end()

    assert (code, output.splitlines()[-1]) == (0, "rev 1"), output
    with closing(open_store(own)) as store:
        compared, mismatches = verify(own.lake, store, day)
    assert compared > 0
    assert mismatches == []
    again = publish_once(own, day, "tests", "again", options=PublishOptions(gated=False))
    assert again.rev is None


@contextmanager
def running(settings: Settings, variables: Mapping[str, str]) -> Iterator[SpeedProcess]:
    """A driver with more variables than a launcher gives it."""
    log = settings.home / "logs" / "speed_layer.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(),
            env=environment(settings) | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    driver = SpeedProcess(settings, process, log, 0)
    try:
        driver.wait_until_ready()
        yield driver
    finally:
        driver.kill()


@MOVED
@pytest.mark.parametrize(
    ("speed_engine", "on"), [("spark", date(2026, 3, 6)), ("direct", date(2026, 3, 10))]
)
def test_a_driver_with_a_wrong_clock_serves_is_healthy_and_obeys_a_fence(
    stack: Settings, tmp_path: Path, seconds: int, speed_engine: str, on: date
) -> None:
    """Neither the supervisor nor a publication takes it for frozen, and its bars are right."""
    day = session(venues()["IEXG" if seconds > 0 else "USEQ"], on)
    own = own_settings(
        stack,
        tmp_path,
        speed_engine=speed_engine,
        speed_lateness_s=3_600,
        profile="sip",
        speed_venues=(),
    )
    with closing(open_store(own)) as store:
        store.ensure_buckets()
    plan = SimulationPlan(
        day.date, venue=day.venue, seed=3, trades=500, offset_s=600, duration_s=300,
        faults=NO_FAULTS,
    )  # fmt: skip
    made = simulate(plan)
    with running(own, moved_clock(tmp_path, seconds)) as driver:
        send(own, made.records)
        driver.wait_until_read(end_offsets(own.kafka, own.topic), 120)

        assert status_of(own, POLICY).health is Health.HEALTHY
        with closing(open_store(own)) as store:
            assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
        old_day = session(venues()[day.venue], OLD_DAY)
        lake_session([printed(0, "100", venue=day.venue)], old_day).write(own.lake)
        messages: list[str] = []
        publish_once(
            own,
            old_day,
            "tests",
            "an old session",
            messages.append,
            options=PublishOptions(gated=False),
        )
        assert not any("is silent" in message for message in messages)
        os.kill(driver.process.pid, signal.SIGTERM)
        assert driver.process.wait(60) == 0
