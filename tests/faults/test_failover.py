"""Drivers killed and frozen under supervision: one of them writes, and the bars equal the fold."""

import dataclasses
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random

import pytest

from support.drivers import port_of, store_of
from support.fault_proxy import FaultProxy, Mode
from support.loop import own_settings, send, served, stamped_by, truth_of
from support.supervised import POLICY, RecordingLauncher, Supervised, signalled, supervised
from support.wait import until
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.market.sessions import Session
from truetape.speed.control_records import DesiredState
from truetape.speed.decision import Restart, Start
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import Phase
from truetape.speed.launcher import LaunchArguments, LocalLauncher
from truetape.speed.observation import Health
from truetape.speed.supervision import status_of
from truetape.tour.speed_process import SpeedProcess

pytestmark = [pytest.mark.faults, pytest.mark.real, pytest.mark.long]

DAYS = {"spark": date(2026, 3, 13), "direct": date(2026, 3, 20)}
"""No other test has them: all of them share one store."""
BOTH = pytest.mark.parametrize("own", ["spark", "direct"], indirect=True)
"""Runs a test on both engines; one without it shows nothing more on Spark."""
DOUBLED = dataclasses.replace(NO_FAULTS, duplicate=0.03)


@pytest.fixture
def own(request: pytest.FixtureRequest, stack: Settings, tmp_path: Path) -> Settings:
    """No simulated trade is late; writes time out sooner than by default."""
    return own_settings(
        stack,
        tmp_path,
        speed_engine=getattr(request, "param", "direct"),
        speed_lateness_s=3_600,
        profile="sip",
        write_timeout_s=3.0,
        speed_venues=(),
    )


def made_at(own: Settings, venue: str, trades: int = 3_000) -> tuple[Session, SimulatedSession]:
    """Simulate five minutes; each test has a venue of its own, each engine a day."""
    day = DAYS[own.speed_engine]
    plan = SimulationPlan(
        day, venue=venue, seed=11, trades=trades, offset_s=600, duration_s=300, faults=DOUBLED
    )
    return session(venues()[venue], day), simulate(plan)


def parts(records: Sequence[Record], count: int) -> list[Sequence[Record]]:
    size = -(-len(records) // count)
    return [records[begin : begin + size] for begin in range(0, len(records), size)]


def trickle(settings: Settings, records: Sequence[Record]) -> threading.Thread:
    """Send in the background, a few records at a time, so that they fall into many batches."""

    def work() -> None:
        for begin in range(0, len(records), 20):
            send(settings, records[begin : begin + 20])

    sender = threading.Thread(target=work)
    sender.start()
    return sender


def holder(layer: Supervised) -> Driver:
    beat = layer.beat()
    assert beat is not None
    return beat.driver


@BOTH
def test_a_driver_that_is_killed_five_times_comes_back_each_time(own: Settings) -> None:
    """Killed while batches run; each successor continues where the last driver stopped."""
    day, made = made_at(own, "BATS")
    rnd = Random(5)
    with store_of(own) as store, supervised(own) as layer:
        first, *rest = parts(made.records, 6)
        send(own, first)
        layer.until(layer.has_read_all)
        for number, records in enumerate(rest, start=1):
            sender = trickle(own, records)
            layer.until(lambda: written(layer) > 0)
            goal = written(layer) + rnd.randrange(1, 60)
            until(
                lambda goal=goal, sender=sender: written(layer) >= goal or not sender.is_alive(), 60
            )
            signalled(holder(layer), signal.SIGKILL)
            seconds = layer.until(lambda number=number: layer.has_read_all(number + 1))
            print(f"kill {number}: all read again after {seconds:.1f} s")
            sender.join()
            layer.until(layer.has_read_all)

        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
        assert [
            type(action) for action in layer.actions if isinstance(action, Start | Restart)
        ] == [Start] * 6


def written(layer: Supervised) -> int:
    beat = layer.beat()
    return 0 if beat is None else beat.written


@BOTH
def test_a_frozen_driver_is_replaced_and_writes_nothing_when_it_thaws(own: Settings) -> None:
    day, made = made_at(own, "IEXG")
    first, second, third = parts(made.records, 3)
    with store_of(own) as store, supervised(own) as layer:
        send(own, first)
        layer.until(layer.has_read_all)
        frozen = holder(layer)
        signalled(frozen, signal.SIGSTOP)
        send(own, second)
        layer.until(lambda: layer.has_read_all(2))
        assert [type(action) for action in layer.actions] == [Start, Restart]
        assert life_of(frozen) is Life.ALIVE

        signalled(frozen, signal.SIGCONT)
        until(lambda: life_of(frozen) is Life.DEAD, 60)
        send(own, third)
        layer.until(lambda: layer.has_read_all(2))

        report = layer.exit_report_of(1)
        assert report is not None
        assert (report.driver, report.code, report.late_writes) == (frozen, 75, ())
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)
        beat = layer.beat()
        assert beat is not None
        assert (beat.epoch, beat.rewritten) == (2, 0)


@BOTH
def test_bars_that_a_driver_frozen_between_check_and_post_overwrites_are_rewritten(
    own: Settings,
) -> None:
    """Its POST is delayed until its successor has written newer values, and then arrives."""
    day, made = made_at(own, "ARCX")
    first, second, third = parts(made.records, 3)
    with FaultProxy(port_of(own.influx_url)) as proxy, store_of(own) as store:
        starved = dataclasses.replace(own, influx_url=proxy.url)
        with supervised(own) as layer, supervised_by(starved, layer):
            send(own, first)
            layer.until(layer.has_read_all)
            proxy.set(Mode.BLACKHOLE)
            send(own, second)
            until(layer.is_writing, 60)
            frozen = holder(layer)
            signalled(frozen, signal.SIGSTOP)
            layer.launcher = own_launcher(layer, own)
            send(own, third)
            layer.until(lambda: layer.has_read_all(2))
            right = truth_of(made, day, STREAMED)
            assert served(store, day, STREAMED) == right

            proxy.set(Mode.REFUSE)
            proxy.set(Mode.PASS)
            signalled(frozen, signal.SIGCONT)
            layer.until(lambda: rewritten(layer) > 0, within_s=90)

            until(lambda: life_of(frozen) is Life.DEAD, 60)
            until(lambda: served(store, day, STREAMED) == right, 30)
            until(lambda: not unfinished_writes(layer), 30)
            assert "late_writes=['ARCX" in (own.home / "logs" / "speed_layer.log").read_text()
            assert status_of(own).late_writers == ()


@contextmanager
def supervised_by(settings: Settings, layer: Supervised) -> Iterator[None]:
    """Launch drivers with other settings than the supervised ones."""
    layer.launcher = own_launcher(layer, settings)
    yield


def own_launcher(layer: Supervised, settings: Settings) -> RecordingLauncher:
    assert isinstance(layer.launcher, RecordingLauncher)
    return RecordingLauncher(LocalLauncher(settings), layer.launcher.started)


def rewritten(layer: Supervised) -> int:
    beat = layer.beat()
    return 0 if beat is None else beat.rewritten


def unfinished_writes(layer: Supervised) -> int:
    beat = layer.beat()
    return 0 if beat is None else len(beat.unfinished_writes)


@pytest.mark.parametrize("seed", range(3))
def test_two_supervisors_on_two_hosts_end_with_one_driver(own: Settings, seed: int) -> None:
    """They start drivers at once; only the lease keeps one of them from writing."""
    venue = ("XNAS", "XASE", "XNYS")[seed]
    day, made = made_at(own, venue, trades=1_000)
    with store_of(own) as store, supervised(own) as layer:
        send(own, made.records)
        assert isinstance(layer.launcher, RecordingLauncher)
        started = layer.launcher.started
        others = [
            Supervised(own, RecordingLauncher(Elsewhere(own, f"host-{number}-{seed}"), started))
            for number in range(2)
        ]
        rnd = Random(seed)
        race = [threading.Thread(target=delayed, args=(one, rnd.random())) for one in others]
        for thread in race:
            thread.start()
        for thread in race:
            thread.join()
        assert 1 <= len(started) <= 2

        layer.until(lambda: layer.has_read_all() and len(alive(started)) == 1)

        assert alive(started) == [holder(layer)]
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


@dataclasses.dataclass
class Elsewhere:
    """A launcher that does not see drivers that others have started."""

    settings: Settings
    host: str

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:
        return OtherHost(self.settings, self.host).start(arguments, None)

    def stop(self, driver: Driver | None, application: str) -> None:
        LocalLauncher(self.settings).stop(driver, application)


@dataclasses.dataclass(frozen=True, slots=True)
class OtherHost(LocalLauncher):
    """A local launcher with a pid file of its own."""

    host: str

    @property
    def _pid_file(self) -> Path:
        return self.settings.home / "run" / f"{self.host}.json"


def delayed(layer: Supervised, seconds: float) -> None:
    threading.Event().wait(seconds)
    layer.step()


def alive(drivers: Sequence[Driver]) -> list[Driver]:
    return [one for one in drivers if life_of(one) is Life.ALIVE]


@BOTH
def test_a_command_ends_a_driver_between_two_batches(own: Settings) -> None:
    """Every batch that was begun is confirmed, and the next command starts another driver."""
    day, made = made_at(own, "USEQ", trades=1_000)
    with store_of(own) as store, supervised(own) as layer:
        sender = trickle(own, made.records)
        layer.until(lambda: written(layer) > 0)

        layer.command(DesiredState.STOPPED)
        layer.until(lambda: status_of(own, POLICY).health is Health.STOPPED)

        beat = layer.beat()
        assert beat is not None
        assert beat.state is Phase.STOPPED
        report = layer.exit_report_of(1)
        assert report is not None
        assert (report.code, report.message) == (0, "order 2 by tests: a test")
        sender.join()
        layer.command(DesiredState.STARTED)
        layer.until(lambda: layer.has_read_all(2))
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


def test_a_driver_started_by_hand_takes_the_lease_and_is_adopted(own: Settings) -> None:
    with supervised(own) as layer:
        layer.until(lambda: running(layer))
        mine = SpeedProcess.start(own)
        try:
            mine.wait_until_ready()
            layer.until(lambda: layer.exit_report_of(1) is not None)

            report = layer.exit_report_of(1)
            assert report is not None
            assert report.code == 75
            layer.until(lambda: any("somebody else" in one.reason for one in layer.actions))
            assert mine.stop() == 0
        finally:
            mine.kill()


def running(layer: Supervised) -> bool:
    beat = layer.beat()
    return beat is not None and beat.state is Phase.RUNNING


def test_the_supervisor_gives_up_on_a_driver_that_cannot_work(own: Settings) -> None:
    """The producers stamp the records: exit code 78, and no second attempt."""
    stamped_by(own, "CreateTime")
    with supervised(own) as layer:
        layer.until(lambda: layer.actions and type(layer.actions[-1]).__name__ == "GiveUp")

        assert '"Stamps of producers" in docs/RUNBOOK.md' in layer.actions[-1].reason
        assert len([one for one in layer.actions if isinstance(one, Start)]) == 1
