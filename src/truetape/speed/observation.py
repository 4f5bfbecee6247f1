"""Observation: what can be read about the speed layer, and how healthy it is. Changes nothing.

Health is judged by progress: a process may live and do nothing, and silence is right if no trade
came.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from truetape.broker.offsets import TopicOffsets
from truetape.host import calendars
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.speed.control_records import ControlRecords, ExitReport, Launch, LaunchHistory
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import BEATING, CLOCK_NOISE, Heartbeat, Phase, lag, newest
from truetape.speed.lease import CLOCK, Clock

WATCH_S = 5.0
"""How long to wait for the next heartbeat after one from the future; one comes every second."""
_POLL_S = 0.5


class Health(StrEnum):
    """How the speed layer is."""

    HEALTHY = "healthy"
    LAGGING = "lagging"
    """Behind, and catching up."""
    SILENT = "silent"
    """Everything is read, and no trade comes although a venue is open: look at the feed."""
    AHEAD = "ahead"
    """Its watermark or its bars lie beyond the clock, so that trades count as late."""
    STARTING = "starting"
    HUNG = "hung"
    """Makes no progress, and may be alive."""
    GONE = "gone"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long is too long, and how often is too often."""

    beat_within_s: float = 20.0
    """A working driver beats every second; a longer silence means frozen or cut off from Kafka."""
    progress_within_s: float = 60.0
    """How long records may wait while no batch ends; longer than all attempts of a write."""
    start_within_s: float = 180.0
    """How long a driver may take to the end of its first batch: on a busy machine, starting Spark
    and compiling the first query take over a minute."""
    stop_within_s: float = 90.0
    """How long a driver may take to end its batch after a newer command."""
    healthy_s: float = 60.0
    """After a driver worked for so long, earlier failures no longer count."""
    back_off_s: float = 1.0
    max_back_off_s: float = 300.0
    give_up_after: int = 12
    """The supervisor gives up after so many failures within `give_up_within_s`."""
    give_up_within_s: float = 3_600.0
    silence_s: float = 300.0
    """How long an open market may have no trade before the feed is suspected."""


POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read, unjudged.

    `life` and `ended` belong to the heartbeat's driver; `launch` is the newest launch of the
    history. `overdue` counts records that have waited longer than `Policy.progress_within_s`.
    `open_venues` is empty unless no record came for `Policy.silence_s`. `ahead` names what of the
    heartbeat lies beyond the clock. `is_beating` belongs to a heartbeat from the future: true if a
    newer one arrived while this was read.
    """

    problem: str | None = None
    beat: Heartbeat | None = None
    life: Life = Life.UNSEEN
    ended: ExitReport | None = None
    launch: Launch | None = None
    launch_life: Life = Life.UNSEEN
    launch_ended: ExitReport | None = None
    lag: Mapping[str, int] = field(default_factory=dict)
    overdue: int = 0
    open_venues: tuple[str, ...] = ()
    ahead: str = ""
    is_beating: bool = False

    @property
    def has_reported(self) -> bool:
        """True if the newest heartbeat comes from the newest launch."""
        if self.launch is None or self.beat is None:
            return False
        is_later = self.beat.epoch > self.launch.after
        return is_later and self.launch.driver in (None, self.beat.driver)

    def newcomer(self, now: datetime, policy: Policy) -> Launch | None:
        """Return the newest launch while it may still take the lease; it goes before the holder.

        If its process cannot be seen, it is waited for until `Policy.start_within_s`.
        """
        launch = self.launch
        if launch is None or launch.ended is not None or self.has_reported:
            return None
        if self.launch_ended is not None or self.launch_life is Life.DEAD:
            return None
        if self.beat is not None and self.beat.epoch > launch.after:
            return None  # somebody else took the lease meanwhile
        is_late = apart(now, launch.at, policy.start_within_s)
        return None if is_late and self.launch_life is Life.UNSEEN else launch

    def driver(self, now: datetime, policy: Policy) -> Driver | None:
        """Return the driver to judge, None if there is none or a cluster has not named it."""
        if launch := self.newcomer(now, policy):
            return launch.driver
        return None if self.beat is None else self.beat.driver

    def command(self, now: datetime, policy: Policy) -> int:
        """Return the number of the command that the driver to judge runs under."""
        if launch := self.newcomer(now, policy):
            return launch.command
        return 0 if self.beat is None else self.beat.command

    def health(self, now: datetime, policy: Policy) -> Health:
        """Judge the driver."""
        if self.problem is not None:
            return Health.UNKNOWN
        if launch := self.newcomer(now, policy):
            is_late = apart(now, launch.at, policy.start_within_s)
            return Health.HUNG if is_late else Health.STARTING
        return Health.GONE if self.beat is None else self._health_of(self.beat, now, policy)

    def _health_of(self, beat: Heartbeat, now: datetime, policy: Policy) -> Health:
        if beat.state is Phase.STOPPED or (self.ended is not None and self.ended.code == 0):
            return Health.STOPPED
        if beat.state is Phase.FAILED or self.ended is not None or self.life is Life.DEAD:
            return Health.GONE
        if beat.state is Phase.STARTING:
            late = self._is_late(beat, now, policy)
            return Health.HUNG if late else Health.STARTING
        is_silent = now - beat.at > timedelta(seconds=policy.beat_within_s)
        if is_silent or (beat.is_ahead(now) and not self.is_beating):
            return Health.HUNG
        return self._progress(beat, now, policy)

    def _is_late(self, beat: Heartbeat, now: datetime, policy: Policy) -> bool:
        """True if a driver has been starting for too long; if its clock is ahead, by its launch."""
        if not beat.is_ahead(now):
            return now - beat.started_at > timedelta(seconds=policy.start_within_s)
        launch = self.launch if self.has_reported else None
        return launch is not None and apart(now, launch.at, policy.start_within_s)

    def clocks(self, now: datetime, policy: Policy) -> str:
        """Return what the clocks say if the driver's heartbeat is from the future, else ""."""
        if self.beat is None or self.newcomer(now, policy) or self.life is Life.DEAD:
            return ""
        return self.beat.clocks(now)

    def _progress(self, beat: Heartbeat, now: datetime, policy: Policy) -> Health:
        # on a driver whose clock is ahead, that clock measures how long it has been idle
        idle = max(now, beat.at) - max(beat.batch_ended_at, beat.started_at)
        has_ended_a_batch = beat.batch_ended_at >= beat.started_at
        within_s = policy.progress_within_s if has_ended_a_batch else policy.start_within_s
        if self.overdue and idle > timedelta(seconds=within_s):
            return Health.HUNG
        if self.ahead:
            return Health.AHEAD
        if self.overdue:
            return Health.LAGGING
        return Health.SILENT if self.open_venues else Health.HEALTHY


def apart(now: datetime, then: datetime, seconds: float) -> bool:
    """True if two instants are further apart, in either direction.

    What another clock dated far into the future is as old as what it dated far into the past.
    """
    return abs(now - then) > timedelta(seconds=seconds)


def is_recent(now: datetime, then: datetime, seconds: float) -> bool:
    """True if two instants are less apart, in either direction; see `apart`."""
    return abs(now - then) < timedelta(seconds=seconds)


def exit_report_of(
    driver: Heartbeat | Launch, exit_reports: Iterable[ExitReport]
) -> ExitReport | None:
    """Return a driver's exit report, None if it has written none.

    A launch on a cluster has no pid at first. Any report counts for it that came after it and does
    not belong to a driver that was known before.
    """
    match driver:
        case Heartbeat(epoch=epoch):
            matches = [report for report in exit_reports if report.epoch == epoch]
        case Launch(driver=None, after=after, at=began):
            matches = [
                report
                for report in exit_reports
                if report.at >= began and (report.epoch == 0 or report.epoch > after)
            ]
        case Launch(driver=process):
            matches = [report for report in exit_reports if report.driver == process]
    return matches[-1] if matches else None


def update_history(
    history: LaunchHistory, observed: Observed, now: datetime, policy: Policy
) -> LaunchHistory:
    """Record which driver the newest launch became, and how it ended if it has.

    A driver that hangs counts as ended: it is replaced.
    """
    last, beat, report = history.last, observed.beat, observed.launch_ended
    if last is None or last.ended is not None or observed.problem is not None:
        return history
    worked_s = 0.0
    if beat is not None and observed.has_reported:
        last = replace(last, driver=beat.driver)
        worked_s = max(0.0, (beat.batch_end_ns - beat.started_ns) / 1e9)
    if report is not None:
        last = replace(last, ended=report.at, code=report.code, worked_s=worked_s)
    elif _is_over(observed, now, policy):
        last = replace(last, ended=now, worked_s=worked_s)
    return history.with_last(last)


def observe(
    settings: Settings,
    records: ControlRecords,
    now: datetime | None = None,
    policy: Policy = POLICY,
) -> Observed:
    """Read everything once. If something cannot be read, only `problem` is set."""
    now = datetime.now(UTC) if now is None else now
    try:
        records.refresh()
        beat, launch = newest(settings.kafka, settings.topic), records.history.last
        reports = records.exit_reports
        slack = timedelta(milliseconds=settings.future_slack_ms) + CLOCK_NOISE
        observed = Observed(
            beat=beat,
            life=_life(None if beat is None else beat.driver),
            ended=None if beat is None else exit_report_of(beat, reports),
            launch=launch,
            launch_life=_life(None if launch is None else launch.driver),
            launch_ended=None if launch is None else exit_report_of(launch, reports),
            ahead="" if beat is None else beat.beyond_clock(now, slack),
        )
        observed = watched(observed, lambda: newest(settings.kafka, settings.topic), now)
        return _with_lag(observed, settings, now, policy)
    except (ConfigError, TransientError) as error:
        return Observed(problem=str(error))


def watched(
    observed: Observed,
    read: Callable[[], Heartbeat | None],
    now: datetime,
    *,
    clock: Clock = CLOCK,
    sleep: Callable[[float], object] = time.sleep,
) -> Observed:
    """Wait for the next heartbeat after one from the future: its age does not say if it is alive.

    Does nothing if no driver is expected to send one.
    """
    beat = observed.beat
    is_known = observed.life is Life.DEAD or observed.ended is not None
    if beat is None or is_known or not beat.is_ahead(now) or beat.state not in BEATING:
        return observed
    give_up_s = clock.monotonic_s() + WATCH_S
    while clock.monotonic_s() < give_up_s:
        newer = read()
        if newer is not None and (newer.epoch, newer.beat_ns) != (beat.epoch, beat.beat_ns):
            return replace(observed, beat=newer, life=_life(newer.driver), is_beating=True)
        sleep(_POLL_S)
    return observed


def open_venues(settings: Settings, now: datetime) -> tuple[str, ...]:
    """Return the expected venues that are in their regular session; loads their calendars."""
    declared, instant = venues(), int(now.timestamp() * 1e9)
    unknown = [code for code in settings.speed_venues if code not in declared]
    if unknown:
        raise ConfigError(f"TRUETAPE_SPEED_VENUES has {unknown[0]!r}; see schemas/venues.yaml")
    return tuple(
        code
        for code in settings.speed_venues
        if calendars.session(declared[code], declared[code].date_of(instant)).is_regular(instant)
    )


def _is_over(observed: Observed, now: datetime, policy: Policy) -> bool:
    """True if the newest launch is dead, hangs, or never came."""
    if observed.launch_life is Life.DEAD:
        return True
    if observed.has_reported or observed.newcomer(now, policy):
        return observed.health(now, policy) in (Health.GONE, Health.STOPPED, Health.HUNG)
    return observed.launch_life is Life.UNSEEN


def _with_lag(observed: Observed, settings: Settings, now: datetime, policy: Policy) -> Observed:
    """Add how far the driver is behind what Kafka holds now, whatever it reports itself."""
    read = {} if observed.beat is None else observed.beat.offsets
    with TopicOffsets(settings.kafka, settings.topic) as offsets:
        ends = offsets.ends()
        waited = offsets.since(_ns(now - timedelta(seconds=policy.progress_within_s)))
        is_quiet = offsets.since(_ns(now - timedelta(seconds=policy.silence_s))) == ends
    return replace(
        observed,
        lag=lag(ends, read),
        overdue=sum(lag(waited, read).values()),
        open_venues=open_venues(settings, now) if is_quiet else (),
    )


def _ns(instant: datetime) -> int:
    return int(instant.timestamp() * 1e9)


def _life(driver: Driver | None) -> Life:
    return Life.UNSEEN if driver is None else life_of(driver)
