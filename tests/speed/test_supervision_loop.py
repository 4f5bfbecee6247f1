"""A supervisor that keeps running until a signal, and one that only watches another supervisor."""

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from truetape.host import process
from truetape.host.errors import ConfigError, TransientError
from truetape.host.process import Program, log_file, pid_file
from truetape.host.settings import Settings
from truetape.speed.decision import Action, BackOff, GiveUp, Nothing, Start
from truetape.speed.launcher import NAME, LocalLauncher, launcher_for
from truetape.speed.supervision import supervise_until, watch_supervisor

FINE = Nothing("a driver is healthy")
START = Start("no driver runs")


class Steps:
    """The outcome of each step; the last step sets `stop`."""

    def __init__(self, *outcomes: Action | Exception) -> None:
        self.outcomes = list(outcomes)
        self.stop = threading.Event()

    def step(self, _: Settings) -> Action:
        action = self.outcomes.pop(0)
        if not self.outcomes:
            self.stop.set()
        if isinstance(action, Exception):
            raise action
        return action


def test_it_takes_steps_until_it_is_stopped(settings: Settings) -> None:
    steps = Steps(START, FINE, FINE)

    supervise_until(settings, 0.001, steps.stop, steps.step)

    assert steps.outcomes == []


def test_neither_an_absent_server_nor_giving_up_ends_it(settings: Settings) -> None:
    steps = Steps(TransientError("Kafka is away"), GiveUp("5 drivers failed"), FINE)

    supervise_until(settings, 0.001, steps.stop, steps.step)

    assert steps.outcomes == []


def test_a_configuration_error_ends_it(settings: Settings) -> None:
    steps = Steps(ConfigError("change it"), FINE)

    with pytest.raises(ConfigError, match="change it"):
        supervise_until(settings, 0.001, steps.stop, steps.step)


def test_its_driver_ends_with_it(settings: Settings) -> None:
    """When its container is stopped, its driver is asked to end before it would be killed."""
    driver = process.start(
        Program(
            name=NAME,
            address=settings.kafka,
            command=(sys.executable, "-c", "import time; time.sleep(600)"),
            env={},
            cwd=Path.cwd(),
            log=log_file(settings, NAME),
            pid_file=pid_file(settings, NAME),
        )
    )
    running = LocalLauncher(settings).running()
    assert running is not None
    assert running.pid == driver.pid
    steps = Steps(FINE)

    supervise_until(settings, 0.001, steps.stop, steps.step)

    assert not process.is_alive(driver)
    assert LocalLauncher(settings).running() is None


@pytest.mark.parametrize(
    "action",
    [FINE, BackOff("2 failed in a row", datetime(2026, 11, 20, tzinfo=UTC)), GiveUp("5 failed")],
    ids=lambda action: type(action).__name__,
)
def test_the_watcher_returns_at_once_if_no_step_is_due(settings: Settings, action: Action) -> None:
    assert watch_supervisor(settings, sleep=pytest.fail, step=lambda _: (1, action)) == action


def test_the_watcher_gives_the_other_supervisor_its_time(settings: Settings) -> None:
    outcomes = [START, START, FINE]

    action = watch_supervisor(
        settings, 45, sleep=lambda _: None, step=lambda _: (1, outcomes.pop(0))
    )

    assert action == FINE


def test_a_step_that_nobody_takes_is_an_error(settings: Settings) -> None:
    waited: list[float] = []

    with pytest.raises(TransientError, match="nobody has taken the step Start: no driver runs"):
        watch_supervisor(settings, 45, sleep=waited.append, step=lambda _: (1, START))

    assert sum(waited) == 45


def test_no_driver_is_started_here_if_drivers_are_started_elsewhere() -> None:
    settings = Settings.from_env({"TRUETAPE_SPEED_LAUNCHER": "elsewhere"})

    with pytest.raises(ConfigError, match="started by another supervisor"):
        launcher_for(settings)


@pytest.mark.real  # Kafka's client gives up after 10 s
def test_sigterm_ends_the_command_that_keeps_running(settings: Settings) -> None:
    """Kafka is away all the time: nothing is started, and the exit code is 0."""
    env = settings.to_env() | {"TRUETAPE_KAFKA": "127.0.0.1:9"}
    words = [sys.executable, "-m", "truetape.cli.main", "-v", "speed", "supervise", "--every", "1"]
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        warning = next(line for line in running.stderr if "supervised" in line)
        running.terminate()
        running.stderr.read()
        code = running.wait(60)

    assert "127.0.0.1:9" in warning
    assert code == 0
