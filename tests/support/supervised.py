"""A supervised speed layer in tests: real drivers, fast steps, all drivers killed at the end."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from truetape.broker.control_topic import ControlTopic
from truetape.broker.offsets import end_offsets
from truetape.host.settings import Settings
from truetape.speed.control_records import ControlRecords, DesiredState, ExitReport
from truetape.speed.decision import Action, Nothing
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import Heartbeat, newest
from truetape.speed.launcher import LaunchArguments, Launcher, LocalLauncher
from truetape.speed.observation import Policy
from truetape.speed.supervision import supervise_once, write_command

POLICY = Policy(beat_within_s=8, progress_within_s=30)
"""The default, with shorter waits."""
_STEP_S = 0.5


@dataclass
class RecordingLauncher:
    """A launcher that also records the drivers that it started."""

    launcher: Launcher
    started: list[Driver]

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:
        driver = self.launcher.start(arguments, replaces)
        if driver is not None and driver not in self.started:
            self.started.append(driver)
        return driver

    def stop(self, driver: Driver | None, application: str) -> None:
        self.launcher.stop(driver, application)


@dataclass
class Supervised:
    """The speed layer of some settings, under supervision by this process."""

    settings: Settings
    launcher: Launcher
    actions: list[Action] = field(default_factory=list)

    def step(self) -> Action:
        action = supervise_once(self.settings, POLICY, self.launcher)
        if not isinstance(action, Nothing):
            self.actions.append(action)
        return action

    def until(self, condition: Callable[[], object], within_s: float = 180.0) -> float:
        """Supervise until `condition` holds; return the seconds that it took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < within_s, f"not within {within_s} s: {self.actions}"
            self.step()
            time.sleep(_STEP_S)
        return time.monotonic() - began

    def beat(self) -> Heartbeat | None:
        return newest(self.settings.kafka, self.settings.topic)

    def has_read_all(self, epoch: int = 0) -> bool:
        """True if a driver of at least this epoch has read every record in Kafka."""
        beat = self.beat()
        ends = end_offsets(self.settings.kafka, self.settings.topic)
        return (
            beat is not None
            and beat.epoch >= epoch
            and all(beat.offsets.get(str(part), 0) >= end for part, end in ends.items())
        )

    def is_writing(self) -> bool:
        beat = self.beat()
        return beat is not None and bool(beat.writing)

    def exit_report_of(self, epoch: int) -> ExitReport | None:
        """Return a driver's exit report, None if there is none."""
        with ControlTopic(self.settings.kafka) as control:
            reports = ControlRecords(control, self.settings.topic).refresh().exit_reports
        return next((report for report in reports if report.epoch == epoch), None)

    def command(self, state: DesiredState) -> None:
        write_command(self.settings, state, "a test", "tests")


@contextmanager
def supervised(settings: Settings) -> Iterator[Supervised]:
    """Command the speed layer to run; kill every driver of it at the end."""
    started: list[Driver] = []
    layer = Supervised(settings, RecordingLauncher(LocalLauncher(settings), started))
    layer.command(DesiredState.STARTED)
    try:
        yield layer
    finally:
        for driver in started:
            signalled(driver, signal.SIGKILL)


def signalled(driver: Driver, sent: signal.Signals) -> None:
    """Send a signal to a driver and every process that it has started."""
    if life_of(driver) is Life.ALIVE:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, sent)
