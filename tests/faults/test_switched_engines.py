"""One engine goes on where the other stopped or was killed, and back, from the same position."""

import dataclasses
import threading
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from support.drivers import read_all, running, store_of
from support.loop import own_settings, send, served, truth_of
from support.wait import until
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.tour.speed_process import SpeedProcess

pytestmark = [pytest.mark.faults, pytest.mark.real]

DAY = date(2026, 3, 18)
DOUBLED = dataclasses.replace(NO_FAULTS, duplicate=0.03)
SENT_AT_ONCE = 20
LATENESS_S = 60
"""Short, so that windows close and the next driver begins behind the first record."""


@pytest.mark.parametrize(
    ("engines", "is_killed", "venue"),
    [
        pytest.param(("direct", "spark", "direct"), False, "XNAS", id="stopped"),
        pytest.param(("direct", "spark", "direct"), True, "XNYS", id="killed"),
    ],
)
def test_a_switch_of_the_engine_and_back_neither_loses_nor_doubles_a_trade(
    stack: Settings, tmp_path: Path, engines: Sequence[str], is_killed: bool, venue: str
) -> None:
    """Each driver ends in mid-stream, while records go on to come; the last one reads the rest."""
    own = own_settings(stack, tmp_path, speed_lateness_s=LATENESS_S, profile="sip", partitions=2)
    plan = SimulationPlan(
        DAY, venue=venue, seed=13, trades=6_000, offset_s=600, duration_s=600, faults=DOUBLED
    )
    day, made = session(venues()[venue], DAY), simulate(plan)
    size = -(-len(made.records) // len(engines))
    with store_of(own) as store:
        for number, engine in enumerate(engines):
            part = made.records[number * size : (number + 1) * size]
            with running(dataclasses.replace(own, speed_engine=engine)) as driver:
                is_last = number == len(engines) - 1
                serve(driver, own, part, is_last=is_last, is_killed=is_killed)
        beat = driver.heartbeat()
        assert beat is not None
        assert beat.epoch == len(engines)
        assert all(place.horizon > 0 for place in beat.position.partitions.values())

        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


def serve(
    driver: SpeedProcess,
    own: Settings,
    records: Sequence[Record],
    *,
    is_last: bool,
    is_killed: bool,
) -> None:
    """Let a driver serve records that come in the background, and end it after a few batches."""
    before = batch(driver)
    sender = threading.Thread(target=trickle, args=(own, records))
    sender.start()
    until(lambda: batch(driver) >= before + 2 or not sender.is_alive(), within_s=60)
    if is_last:
        sender.join()
        read_all(driver, own)
    if is_killed and not is_last:
        driver.kill()
    else:
        assert driver.stop() == 0
    sender.join()


def trickle(own: Settings, records: Sequence[Record]) -> None:
    """Send a few records at a time, so that they fall into many batches."""
    for begin in range(0, len(records), SENT_AT_ONCE):
        send(own, records[begin : begin + SENT_AT_ONCE])


def batch(driver: SpeedProcess) -> int:
    """Return the number of the newest batch that was confirmed."""
    beat = driver.heartbeat()
    return -1 if beat is None else beat.position.batch
