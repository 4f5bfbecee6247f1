"""Supervision: read, decide, act once, write down what was done; once, or until a signal.

A DAG or a person calls it, from any host, and again after any crash of the caller. Two at once do
no harm: the lease lets one driver write, and a driver that was started on old news does not take
it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from truetape.broker.control_topic import ControlTopic
from truetape.broker.record_json import wire_name
from truetape.host.errors import TransientError
from truetape.host.log import logger
from truetape.host.process import event_of_signals
from truetape.host.settings import Settings
from truetape.speed.control_records import (
    ControlRecords,
    Desired,
    DesiredState,
    ExitReport,
    Launch,
    LaunchHistory,
    LaunchKind,
)
from truetape.speed.decision import (
    Action,
    Adopt,
    BackOff,
    GiveUp,
    Nothing,
    Restart,
    Start,
    Stop,
    decide,
    why,
)
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.launcher import LaunchArguments, Launcher, LocalLauncher, launcher_for
from truetape.speed.lease import revoke
from truetape.speed.observation import (
    POLICY,
    Health,
    Observed,
    Policy,
    observe,
    update_history,
)

LEFT_ALONE_S = 600.0
"""How long a replaced driver may take to notice that it lost the lease, and end."""
ACTS_WITHIN_S = 45.0
"""How long another supervisor may take for a step, a slow start of its own included."""
_LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class SpeedStatus:
    """How the speed layer is, what it should be doing, and its last launches."""

    health: Health
    reason: str
    desired: Desired
    observed: Observed
    history: LaunchHistory
    late_writers: Annotated[tuple[ExitReport, ...], wire_name("touched")]
    """Drivers that wrote without the lease, and whose bars were not published since."""


def supervise_once(
    settings: Settings,
    policy: Policy = POLICY,
    launcher: Launcher | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Action:
    """Take the one step that moves the speed layer towards the newest command, and return it.

    Ends within seconds. GiveUp is for the caller to raise an alarm. Raise TransientError if Kafka
    goes away on the way; the next call continues.
    """
    with ControlTopic(settings.kafka) as control:
        records, now = ControlRecords(control, settings.topic), clock()
        observed = observe(settings, records, now, policy)
        before = records.history
        history = update_history(before, observed, now, policy)
        action = decide(records.desired, observed, history, now, policy)
        logger("speed").info("supervised", action=type(action).__name__, why=action.reason)
        step = Step(records, observed, history, now, lambda: revoke(settings))
        history = step.take(action, launcher or launcher_for(settings))
        if history != before:
            records.write_history(history)
    return action


def next_step(settings: Settings, policy: Policy = POLICY) -> tuple[int, Action]:
    """Return the number of the newest command and the action that `supervise_once` would take now.

    Changes nothing. Raise TransientError if Kafka cannot be reached.
    """
    with ControlTopic(settings.kafka) as control:
        records, now = ControlRecords(control, settings.topic), datetime.now(UTC)
        observed = observe(settings, records, now, policy)
        history = update_history(records.history, observed, now, policy)
        return records.desired.number, decide(records.desired, observed, history, now, policy)


def status_of(settings: Settings, policy: Policy = POLICY) -> SpeedStatus:
    """Read the state of the speed layer; change nothing."""
    with ControlTopic(settings.kafka) as control:
        records, now = ControlRecords(control, settings.topic), datetime.now(UTC)
        observed = observe(settings, records, now, policy)
        health, reason = observed.health(now, policy), why(observed, now, policy)
        late_writers = tuple(report for report in records.exit_reports if report.late_writes)
        history = records.history
        if health in (Health.GONE, Health.STOPPED):
            history = update_history(history, observed, now, policy)
        return SpeedStatus(health, reason, records.desired, observed, history, late_writers)


def write_command(settings: Settings, state: DesiredState, reason: str, who: str) -> Desired:
    """Command the speed layer to run or to stop; a supervisor's next step follows it.

    A command to run what runs already is a restart: the driver ends after its batch.
    """
    with ControlTopic(settings.kafka) as control:
        return ControlRecords(control, settings.topic).write_command(state, reason, who)


def supervise_until(
    settings: Settings,
    every_s: float,
    stop: threading.Event,
    step: Callable[[Settings], Action] = supervise_once,
) -> None:
    """Take a step every `every_s` until `stop` is set, then end the driver that was started here.

    A step during which Kafka is away is repeated: what it could not read starts nothing. After
    giving up it goes on: a new command is a new beginning.
    """
    previous: Action | None = None
    while not stop.is_set():
        try:
            action = step(settings)
        except TransientError as error:
            logger("speed").warning("not_supervised", why=str(error))
        else:
            if isinstance(action, GiveUp) and action != previous:
                logger("speed").error("gave_up", why=action.reason)
            previous = action
        stop.wait(every_s)
    launcher = LocalLauncher(settings)
    launcher.stop(launcher.running(), "")


def supervise_until_term(settings: Settings, every_s: float) -> None:
    """Supervise until SIGTERM or SIGINT."""
    supervise_until(settings, every_s, event_of_signals())


def watch_supervisor(
    settings: Settings,
    within_s: float = ACTS_WITHIN_S,
    sleep: Callable[[float], object] = time.sleep,
    step: Callable[[Settings], tuple[int, Action]] = next_step,
) -> Action:
    """Return the action that is due, once another supervisor had its time to take it.

    Raise TransientError if a step is still not taken after `within_s`: then nobody supervises.
    """
    for _ in range(max(1, round(within_s / _LOOK_AGAIN_S))):
        _, action = step(settings)
        if isinstance(action, Nothing | BackOff | GiveUp):
            return action
        sleep(_LOOK_AGAIN_S)
    raise TransientError(
        f"for {within_s:.0f} s nobody has taken the step {type(action).__name__}: {action.reason}; "
        "look at the container speed-layer"
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What was read when an action was decided; `revoke` takes the lease from every driver."""

    records: ControlRecords
    observed: Observed
    history: LaunchHistory
    now: datetime
    revoke: Callable[[], None]
    life_of: Callable[[Driver], Life] = life_of

    def take(self, action: Action, launcher: Launcher) -> LaunchHistory:
        """Take the action and return the history after it."""
        beat = self.observed.beat
        match action:
            case Start(reason):
                return self._launch(LaunchKind.START, reason, None, launcher)
            case Restart(reason, replaces):
                return self._launch(LaunchKind.RESTART, reason, replaces, launcher)
            case Adopt(reason, driver) if beat is not None:
                before, kind = beat.epoch - 1, LaunchKind.ADOPT
                # its clock may be ahead of this one, which judges the launch
                at = min(beat.started_at, self.now)
                launch = Launch(at, beat.command, before, kind, reason, driver)
                return self.history.with_launch(launch)
            case Stop(_, driver):
                launcher.stop(driver, "" if beat is None else beat.application)
                self.revoke()
            case GiveUp():
                return replace(self.history, gave_up=self.records.desired.number)
            case _:
                self._stop_replaced_drivers(launcher)
        return self.history

    def _launch(
        self, kind: LaunchKind, reason: str, replaces: Driver | None, launcher: Launcher
    ) -> LaunchHistory:
        command, beat = self.records.desired.number, self.observed.beat
        after = 0 if beat is None else beat.epoch
        driver = launcher.start(LaunchArguments(command, after), replaces)
        return self.history.with_launch(Launch(self.now, command, after, kind, reason, driver))

    def _stop_replaced_drivers(self, launcher: Launcher) -> None:
        """Stop processes that were replaced a while ago and still use memory."""
        for driver in self.history.replaced(self.now - timedelta(seconds=LEFT_ALONE_S)):
            if self.life_of(driver) is Life.ALIVE:
                launcher.stop(driver, "")
