"""The supervisor's decision: one step towards what was ordered. Pure; `supervise` reads and acts.

What cannot be read is no reason to start anything: a second driver would fence the first, and that
one may be healthy.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from truetape.host.errors import ConfigError
from truetape.speed.driver import Driver
from truetape.speed.history import History, back_off
from truetape.speed.observation import POLICY, Health, Observed, Policy
from truetape.speed.order import Desired, State


@dataclass(frozen=True, slots=True)
class Nothing:
    """Leave everything as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a driver; none is there."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Make an end of a driver that should have stopped by itself."""

    reason: str
    driver: Driver | None


@dataclass(frozen=True, slots=True)
class Restart:
    """Start a driver, which fences the one that is there."""

    reason: str
    replaces: Driver | None


@dataclass(frozen=True, slots=True)
class BackOff:
    """Start one later: the last ones failed too soon."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Start none until there is a new order: a person must look."""

    reason: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take a driver that somebody else started under supervision."""

    reason: str
    driver: Driver | None


Action = Nothing | Start | Stop | Restart | BackOff | GiveUp | Adopt


def decide(
    desired: Desired,
    observed: Observed,
    history: History,
    now: datetime,
    policy: Policy = POLICY,
) -> Action:
    """Choose the one step that moves the speed layer towards `desired`. Does no I/O."""
    health = observed.health(now, policy)
    match desired.state, health:
        case _, Health.UNKNOWN:
            return Nothing(f"{observed.problem}; starting a second driver would be worse")
        case State.STOPPED, Health.GONE | Health.STOPPED:
            return Nothing(f"no driver runs, as ordered: {desired.reason}")
        case State.STOPPED, _:
            return _stop(desired, observed, now, policy)
        case _, Health.GONE | Health.STOPPED:
            start = Start(why(observed, now, policy))
            return _unless_hopeless(start, desired, history, now, policy)
        case _, Health.HUNG:
            restart = Restart(why(observed, now, policy), observed.driver(now, policy))
            return _unless_hopeless(restart, desired, history, now, policy)
    return _keep(desired, observed, history, now, policy)


def why(observed: Observed, now: datetime, policy: Policy) -> str:
    """Say in words how the speed layer is, for the log and for people."""
    driver, behind = observed.driver(now, policy), sum(observed.lag.values())
    ended = observed.launch_ended or observed.ended
    match observed.health(now, policy):
        case Health.UNKNOWN:
            return str(observed.problem)
        case Health.GONE | Health.STOPPED if ended is not None:
            return f"{ended.driver} ended with {ended.code}: {ended.message}"
        case Health.GONE | Health.STOPPED:
            return "no driver runs" if driver is None else f"{driver} is gone"
        case Health.HUNG:
            return f"{driver} makes no progress, {behind:,} records behind"
        case Health.SILENT:
            return f"no trade comes although {', '.join(observed.open_venues)} is open"
        case health:
            return f"{driver or 'a driver'} is {health}, {behind:,} records behind"


def _stop(desired: Desired, observed: Observed, now: datetime, policy: Policy) -> Action:
    driver = observed.driver(now, policy)
    if observed.order(now, policy) >= desired.number:
        return Nothing(f"{driver} was started by hand after the order to stop; left alone")
    if now - desired.at < timedelta(seconds=policy.stop_within_s):
        return Nothing(f"{driver} stops after its batch")
    return Stop(f"{driver} did not stop within {policy.stop_within_s:.0f} s", driver)


def _unless_hopeless(
    action: Start | Restart, desired: Desired, history: History, now: datetime, policy: Policy
) -> Action:
    """Start or restart, unless it is too early or has been tried too often."""
    last, order = history.last, desired.number
    if history.gave_up == order:
        return GiveUp(f'given up on order {order}; "truetape speed start" tries again')
    if last is not None and last.order >= order and last.code == ConfigError.exit_code:
        return GiveUp(f"a setting or file must be changed first: {action.reason}")
    since = now - timedelta(seconds=policy.give_up_within_s)
    failures = history.failures(order, since)
    if failures >= policy.give_up_after:
        minutes = policy.give_up_within_s / 60
        return GiveUp(f"{failures} drivers failed within {minutes:.0f} minutes: {action.reason}")
    in_a_row = history.failures_in_a_row(order, policy.healthy_s)
    wait = back_off(in_a_row, policy.back_off_s, policy.max_back_off_s)
    if last is not None and now < last.at + wait:
        return BackOff(f"{in_a_row} failed in a row: {action.reason}", last.at + wait)
    return action


def _keep(
    desired: Desired, observed: Observed, history: History, now: datetime, policy: Policy
) -> Action:
    """Deal with a driver that works, or is starting."""
    driver = observed.driver(now, policy)
    if observed.order(now, policy) < desired.number:
        if now - desired.at < timedelta(seconds=policy.stop_within_s):
            return Nothing(f"{driver} ends after its batch, to be started anew")
        return Restart(f"{driver} did not end within {policy.stop_within_s:.0f} s", driver)
    last = history.last
    is_known = last is not None and last.ended is None and last.driver in (None, driver)
    if is_known:
        return Nothing(why(observed, now, policy))
    return Adopt(f"{driver} was started by somebody else", driver)
