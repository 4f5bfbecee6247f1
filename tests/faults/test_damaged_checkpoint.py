"""Damaged files in real checkpoints of Spark: named, refused with 78, and cured by the runbook."""

import dataclasses
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.drivers import last_word, port_of, read_all, running, store_of
from support.fault_proxy import FaultProxy, Mode
from support.loop import own_settings, send, served, truth_of
from support.wait import until
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.market.sessions import Session
from truetape.speed.checkpoint import damage_of
from truetape.speed.progress import CURES, Role, checkpoint_for
from truetape.tour.speed_process import SpeedProcess

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.faults, pytest.mark.real]

DAY = date(2026, 3, 11)
"""No other test has it: all of them share one store. No fence is in the way so late."""
ENDED_WITHIN_S = 120.0


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    return own_settings(stack, tmp_path, speed_lateness_s=3_600, profile="sip")


def made_at(venue: str, trades: int = 2_000) -> tuple[Session, SimulatedSession]:
    """Simulate five minutes without faults, so that both layers agree."""
    plan = SimulationPlan(
        DAY, venue=venue, seed=9, trades=trades, offset_s=600, duration_s=300, faults=NO_FAULTS
    )
    return session(venues()[venue], DAY), simulate(plan)


def newest(folder: Path, log: str) -> int:
    return max(int(path.name) for path in (folder / log).glob("[0-9]*"))


def refused(settings: Settings) -> str:
    """Start a driver that must refuse its checkpoint; return its last word."""
    driver = SpeedProcess.start(settings)
    try:
        until(lambda: driver.process.poll() is not None, within_s=ENDED_WITHIN_S)
    finally:
        driver.kill()
    last = last_word(driver)
    assert driver.process.returncode == last.code == ConfigError.exit_code
    return last.message


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.long
def test_the_speed_layer_names_a_damaged_file_and_loses_nothing_by_the_cure(
    own: Settings, tmp_path: Path
) -> None:
    """Kill in mid-batch, empty the plan of that batch, remove it; then the same with a commit."""
    day, made = made_at("ARCX")
    third = len(made.records) // 3
    folder = checkpoint_for(own)
    with FaultProxy(port_of(own.influx_url)) as proxy, store_of(own) as store:
        with running(dataclasses.replace(own, influx_url=proxy.url)) as driver:
            send(own, made.records[:third])
            read_all(driver, own)
            proxy.set(Mode.BLACKHOLE)
            send(own, made.records[third : 2 * third])
            until(lambda: newest(folder, "offsets") > newest(folder, "commits"), within_s=30)
            driver.kill()
        assert damage_of(folder) is None
        planned = empty(folder / "offsets" / str(newest(folder, "offsets")))

        message = refused(own)

        assert message.startswith(f"{planned} is damaged: it is empty; {CURES[Role.PLAN]}")
        planned.unlink()
        with running(own) as driver:
            read_all(driver, own)
            assert driver.stop() == 0

        if newest(folder, "offsets") > newest(folder, "commits"):
            (folder / "offsets" / str(newest(folder, "offsets"))).unlink()
        committed = empty(folder / "commits" / str(newest(folder, "commits")))

        message = refused(own)

        assert message.startswith(f"{committed} is damaged: it is empty; {CURES[Role.COMMIT]}")
        committed.unlink()
        with running(own) as driver:
            send(own, made.records[2 * third :])
            read_all(driver, own)
            assert driver.stop() == 0

        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
        assert damage_of(folder) is None
        state_is_judged(folder, tmp_path)
        send(own, made.records[-1:])  # without a new record no batch needs the state
        state_that_is_gone_is_named(own, folder)


def state_is_judged(folder: Path, tmp_path: Path) -> None:
    """Cut each file of the newest state of a copy: each is named."""
    version = newest(folder, "commits") + 1
    files = sorted(
        path.relative_to(folder) for path in folder.rglob(f"state/**/{version}.changelog")
    )
    assert files
    for number, file in enumerate(files):
        copy = shutil.copytree(folder, tmp_path / f"copy-{number}")
        content = (copy / file).read_bytes()
        (copy / file).write_bytes(content[:-1])
        damage = damage_of(copy)
        assert damage is not None
        assert damage.file == copy / file


def state_that_is_gone_is_named(own: Settings, folder: Path) -> None:
    """Only Spark knows which state it needs; its error is translated."""
    version = newest(folder, "commits") + 1
    for path in [*folder.rglob(f"state/**/{version}.changelog")]:
        path.unlink()

    message = refused(own)

    assert message.startswith(str(folder / "state"))
    assert CURES[Role.OTHER] in message
