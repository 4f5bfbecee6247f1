"""The supervisor's decision: one step towards the newest command. Pure; `supervision` acts.

If something cannot be read, start nothing: a second driver would take the lease of the first, which
may be healthy.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from truetape.host.errors import ConfigError
from truetape.speed.control_records import (
    Desired,
    DesiredState,
    ExitReport,
    LaunchHistory,
    back_off,
)
from truetape.speed.driver import Driver
from truetape.speed.observation import POLICY, Health, Observed, Policy, is_recent


@dataclass(frozen=True, slots=True)
class Nothing:
    """Leave everything as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a driver; there is none."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End a driver that should have stopped by itself."""

    reason: str
    driver: Driver | None


@dataclass(frozen=True, slots=True)
class Restart:
    """Start a driver, which takes the lease from the running one."""

    reason: str
    replaces: Driver | None


@dataclass(frozen=True, slots=True)
class BackOff:
    """Start a driver later: the last ones failed too soon."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Start no driver until there is a new command: a person must look."""

    reason: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Supervise a driver that somebody else started."""

    reason: str
    driver: Driver | None


Action = Nothing | Start | Stop | Restart | BackOff | GiveUp | Adopt


def decide(
    desired: Desired,
    observed: Observed,
    history: LaunchHistory,
    now: datetime,
    policy: Policy = POLICY,
) -> Action:
    """Choose the one step that moves the speed layer towards `desired`. Does no I/O."""
    health = observed.health(now, policy)
    match desired.state, health:
        case _, Health.UNKNOWN:
            return Nothing(f"{observed.problem}; starting a second driver would be worse")
        case DesiredState.STOPPED, Health.GONE | Health.STOPPED:
            return Nothing(f"no driver runs, as ordered: {desired.reason}")
        case DesiredState.STOPPED, _:
            return _stop(desired, observed, now, policy)
        case _, Health.GONE | Health.STOPPED:
            start = Start(why(observed, now, policy))
            return _unless_hopeless(start, desired, history, now, policy)
        case _, Health.HUNG:
            restart = Restart(why(observed, now, policy), observed.driver(now, policy))
            return _unless_hopeless(restart, desired, history, now, policy)
    return _keep(desired, observed, history, now, policy)


def why(observed: Observed, now: datetime, policy: Policy) -> str:
    """Return a sentence on how the speed layer is, for the log and for people."""
    clocks, text = observed.clocks(now, policy), _why(observed, now, policy)
    return f"{text}; {clocks}" if clocks else text


def _why(observed: Observed, now: datetime, policy: Policy) -> str:
    driver, behind = observed.driver(now, policy), sum(observed.lag.values())
    match observed.health(now, policy):
        case Health.UNKNOWN:
            return str(observed.problem)
        case Health.GONE | Health.STOPPED:
            return _why_none(driver, observed.launch_ended or observed.ended)
        case Health.HUNG:
            return f"{driver} makes no progress, {behind:,} records behind"
        case Health.SILENT:
            return f"no trade comes although {', '.join(observed.open_venues)} is open"
        case Health.AHEAD:
            return (
                f"{driver} serves no trade of now: {observed.ahead}; see "
                '"Watermark beyond the clock" in docs/RUNBOOK.md'
            )
        case health:
            return f"{driver or 'a driver'} is {health}, {behind:,} records behind"


def _why_none(driver: Driver | None, ended: ExitReport | None) -> str:
    if ended is not None:
        return f"{ended.driver} ended with {ended.code}: {ended.message}"
    if driver is None:
        return "no driver runs"
    return f"{driver} is gone without an exit report; see logs/speed_layer.log"


def _stop(desired: Desired, observed: Observed, now: datetime, policy: Policy) -> Action:
    driver = observed.driver(now, policy)
    if observed.command(now, policy) >= desired.number:
        return Nothing(f"{driver} was started by hand after the order to stop; left alone")
    if is_recent(now, desired.at, policy.stop_within_s):
        return Nothing(f"{driver} stops after its batch")
    return Stop(f"{driver} did not stop within {policy.stop_within_s:.0f} s", driver)


def _unless_hopeless(
    action: Start | Restart, desired: Desired, history: LaunchHistory, now: datetime, policy: Policy
) -> Action:
    """Start or restart, unless it is too early or failed too often."""
    last, command = history.last, desired.number
    if history.gave_up == command:
        return GiveUp(
            f'given up on order {command}: {action.reason}; "truetape speed start" tries again'
        )
    if last is not None and last.command >= command and last.code == ConfigError.exit_code:
        return GiveUp(f"a setting or file must be changed first: {action.reason}")
    since = now - timedelta(seconds=policy.give_up_within_s)
    failures = history.failures(command, since)
    if failures >= policy.give_up_after:
        minutes = policy.give_up_within_s / 60
        return GiveUp(f"{failures} drivers failed within {minutes:.0f} minutes: {action.reason}")
    in_a_row = history.failures_in_a_row(command, policy.healthy_s)
    wait = back_off(in_a_row, policy.back_off_s, policy.max_back_off_s)
    if last is not None and is_recent(now, last.at, wait.total_seconds()):
        return BackOff(f"{in_a_row} failed in a row: {action.reason}", last.at + wait)
    return action


def _keep(
    desired: Desired, observed: Observed, history: LaunchHistory, now: datetime, policy: Policy
) -> Action:
    """Choose the step for a driver that works or is starting."""
    driver = observed.driver(now, policy)
    if observed.command(now, policy) < desired.number:
        if is_recent(now, desired.at, policy.stop_within_s):
            return Nothing(f"{driver} ends after its batch, to be started anew")
        return Restart(f"{driver} did not end within {policy.stop_within_s:.0f} s", driver)
    last = history.last
    is_supervised = last is not None and last.ended is None and last.driver in (None, driver)
    if is_supervised:
        return Nothing(why(observed, now, policy))
    return Adopt(f"{driver} was started by somebody else", driver)
