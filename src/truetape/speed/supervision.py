"""Supervision, one step at a time: read, decide, act once, write down what was done.

Called by a DAG or by hand, from any host, and again after any crash of the caller. Two at once do
no harm: the lease lets one driver write, and a driver whose start was decided on old news does not
take it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from truetape.broker.control_topic import ControlTopic
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.speed.control_records import Board
from truetape.speed.decision import Action, Adopt, GiveUp, Restart, Start, Stop, decide, why
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.history import History, How, Launch
from truetape.speed.launcher import Launcher, Ticket, launcher_for
from truetape.speed.lease import revoke
from truetape.speed.observation import POLICY, Health, Observed, Policy, settle
from truetape.speed.observer import observe
from truetape.speed.order import Desired, State
from truetape.speed.takeover import Ended

LEFT_ALONE_S = 600.0
"""How long a driver that was replaced may take to find itself fenced and end."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the speed layer is, what it should be doing, and what was done about it lately."""

    health: Health
    reason: str
    desired: Desired
    observed: Observed
    history: History
    touched: tuple[Ended, ...]
    """Drivers that wrote without the lease, and nobody has put their bars right yet."""


def supervise_once(
    settings: Settings,
    policy: Policy = POLICY,
    launcher: Launcher | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Action:
    """Take the one step that moves the speed layer towards the newest order, and return it.

    Ends within seconds. GiveUp is for the caller to raise an alarm. TransientError when Kafka went
    away on the way; then the next call goes on.
    """
    with ControlTopic(settings.kafka) as control:
        board, now = Board(control, settings.topic), clock()
        observed = observe(settings, board, now, policy)
        known = board.history
        history = settle(known, observed, now, policy)
        action = decide(board.desired, observed, history, now, policy)
        logger("speed").info("supervised", action=type(action).__name__, why=action.reason)
        step = _Step(settings, board, observed, history, now)
        history = step.take(action, launcher or launcher_for(settings))
        if history != known:
            board.remember(history)
    return action


def next_step(settings: Settings, policy: Policy = POLICY) -> tuple[int, Action]:
    """Return the number of the newest order and the action that `supervise_once` would take now.

    Does nothing. TransientError when Kafka cannot be reached.
    """
    with ControlTopic(settings.kafka) as control:
        board, now = Board(control, settings.topic), datetime.now(UTC)
        observed = observe(settings, board, now, policy)
        history = settle(board.history, observed, now, policy)
        return board.desired.number, decide(board.desired, observed, history, now, policy)


def status_of(settings: Settings, policy: Policy = POLICY) -> Status:
    """Look without doing anything."""
    with ControlTopic(settings.kafka) as control:
        board, now = Board(control, settings.topic), datetime.now(UTC)
        observed = observe(settings, board, now, policy)
        health, reason = observed.health(now, policy), why(observed, now, policy)
        touched = tuple(one for one in board.ends if one.touched)
        return Status(health, reason, board.desired, observed, board.history, touched)


def order(settings: Settings, state: State, reason: str, who: str) -> Desired:
    """Give the speed layer an order; the next step of a supervisor follows it.

    Starting what is ordered to run already is a restart: the driver ends after its batch.
    """
    with ControlTopic(settings.kafka) as control:
        return Board(control, settings.topic).order(state, reason, who)


@dataclass(frozen=True, slots=True)
class _Step:
    """What was seen when an action was decided."""

    settings: Settings
    board: Board
    observed: Observed
    history: History
    now: datetime

    def take(self, action: Action, launcher: Launcher) -> History:
        """Do it, and return what the history is then."""
        beat = self.observed.beat
        match action:
            case Start(reason):
                return self._launch(How.START, reason, None, launcher)
            case Restart(reason, replaces):
                return self._launch(How.RESTART, reason, replaces, launcher)
            case Adopt(reason, driver) if beat is not None:
                before = beat.epoch - 1
                launch = Launch(beat.started_at, beat.order, before, How.ADOPT, reason, driver)
                return self.history.began(launch)
            case Stop(_, driver):
                launcher.stop(driver, "" if beat is None else beat.application)
                revoke(self.settings)
            case GiveUp():
                return replace(self.history, gave_up=self.board.desired.number)
            case _:
                self._clear_away(launcher)
        return self.history

    def _launch(
        self, how: How, reason: str, replaces: Driver | None, launcher: Launcher
    ) -> History:
        order, beat = self.board.desired.number, self.observed.beat
        after = 0 if beat is None else beat.epoch
        driver = launcher.start(Ticket(order, after), replaces)
        return self.history.began(Launch(self.now, order, after, how, reason, driver))

    def _clear_away(self, launcher: Launcher) -> None:
        """End processes that were replaced a while ago and hang on to their memory."""
        for driver in self.history.replaced(self.now - timedelta(seconds=LEFT_ALONE_S)):
            if life_of(driver) is Life.ALIVE:
                launcher.stop(driver, "")
