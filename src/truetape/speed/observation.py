"""What could be read about the speed layer, and what it says of its health. Pure; `observe` reads.

Health is judged by progress: a process may be alive and do nothing, and quiet is right where no
trade came.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from truetape.speed.driver import Driver, Life
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.history import History, Launch
from truetape.speed.takeover import Ended


class Health(StrEnum):
    """How the speed layer is."""

    HEALTHY = "healthy"
    LAGGING = "lagging"
    """Behind, and catching up."""
    SILENT = "silent"
    """Has read everything, and no trade comes although a venue is open: look at the feed."""
    STARTING = "starting"
    HUNG = "hung"
    """Not known to be dead, and without progress."""
    GONE = "gone"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is too long, and how often is too often."""

    beat_within_s: float = 20.0
    """A driver at work beats every second; mute for so long, it is frozen or cut off from Kafka."""
    progress_within_s: float = 60.0
    """Records may wait for so long while no batch ends; longer than all attempts of a write."""
    start_within_s: float = 180.0
    stop_within_s: float = 90.0
    """How long a driver may take to end its batch after a newer order."""
    healthy_s: float = 60.0
    """A driver that worked for so long makes earlier failures forgotten."""
    back_off_s: float = 1.0
    max_back_off_s: float = 300.0
    give_up_after: int = 12
    """So many failures within `give_up_within_s` are given up on."""
    give_up_within_s: float = 3_600.0
    silence_s: float = 300.0
    """How long an open market may be without a trade before the feed is suspected."""


POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Observed:
    """What could be read, unjudged.

    `life` and `ended` are of the heartbeat's driver; `launch` is the newest launch of the history.
    `overdue` counts records that have waited for longer than `Policy.progress_within_s`.
    `open_venues` are named only when no record came for `Policy.silence_s`.
    """

    problem: str | None = None
    beat: Heartbeat | None = None
    life: Life = Life.UNSEEN
    ended: Ended | None = None
    launch: Launch | None = None
    launch_life: Life = Life.UNSEEN
    launch_ended: Ended | None = None
    lag: Mapping[str, int] = field(default_factory=dict)
    overdue: int = 0
    open_venues: tuple[str, ...] = ()

    @property
    def has_spoken(self) -> bool:
        """Say whether the newest heartbeat is of the newest launch."""
        if self.launch is None or self.beat is None:
            return False
        is_later = self.beat.epoch > self.launch.after
        return is_later and self.launch.driver in (None, self.beat.driver)

    def newcomer(self, now: datetime, policy: Policy) -> Launch | None:
        """Return the newest launch while it may still take the lease; it counts before the holder.

        One whose process cannot be seen is waited for, and then counts as never having come.
        """
        launch = self.launch
        if launch is None or launch.ended is not None or self.has_spoken:
            return None
        if self.launch_ended is not None or self.launch_life is Life.DEAD:
            return None
        if self.beat is not None and self.beat.epoch > launch.after:
            return None  # somebody else took the lease meanwhile
        is_late = now - launch.at > timedelta(seconds=policy.start_within_s)
        return None if is_late and self.launch_life is Life.UNSEEN else launch

    def driver(self, now: datetime, policy: Policy) -> Driver | None:
        """Return the driver in question, None where there is none or a cluster does not say."""
        if launch := self.newcomer(now, policy):
            return launch.driver
        return None if self.beat is None else self.beat.driver

    def order(self, now: datetime, policy: Policy) -> int:
        """Return the number of the order that the driver in question runs under."""
        if launch := self.newcomer(now, policy):
            return launch.order
        return 0 if self.beat is None else self.beat.order

    def health(self, now: datetime, policy: Policy) -> Health:
        """Judge the driver in question."""
        if self.problem is not None:
            return Health.UNKNOWN
        if launch := self.newcomer(now, policy):
            is_late = now - launch.at > timedelta(seconds=policy.start_within_s)
            return Health.HUNG if is_late else Health.STARTING
        return Health.GONE if self.beat is None else self._health_of(self.beat, now, policy)

    def _health_of(self, beat: Heartbeat, now: datetime, policy: Policy) -> Health:
        if beat.state is Phase.STOPPED or (self.ended is not None and self.ended.code == 0):
            return Health.STOPPED
        if beat.state is Phase.FAILED or self.ended is not None or self.life is Life.DEAD:
            return Health.GONE
        if beat.state is Phase.STARTING:
            late = now - beat.started_at > timedelta(seconds=policy.start_within_s)
            return Health.HUNG if late else Health.STARTING
        if now - beat.at > timedelta(seconds=policy.beat_within_s):
            return Health.HUNG
        return self._progress(beat, now, policy)

    def _progress(self, beat: Heartbeat, now: datetime, policy: Policy) -> Health:
        idle = now - max(beat.batch_ended_at, beat.started_at)
        if not self.overdue:
            return Health.SILENT if self.open_venues else Health.HEALTHY
        is_stuck = idle > timedelta(seconds=policy.progress_within_s)
        return Health.HUNG if is_stuck else Health.LAGGING


def last_word(whom: Heartbeat | Launch, ends: Iterable[Ended]) -> Ended | None:
    """Return what a driver said at its end, None while it has not.

    Of a launch on a cluster, whose pid is not known, any word counts that came after it and is not
    of a driver that was known before.
    """
    match whom:
        case Heartbeat(epoch=epoch):
            found = [one for one in ends if one.epoch == epoch]
        case Launch(driver=None, after=after, at=began):
            found = [
                one for one in ends if one.at >= began and (one.epoch == 0 or one.epoch > after)
            ]
        case Launch(driver=driver):
            found = [one for one in ends if one.driver == driver]
    return found[-1] if found else None


def settle(history: History, observed: Observed, now: datetime, policy: Policy) -> History:
    """Note in the history which driver the newest launch became, and how it ended where it has.

    One that hangs counts as ended: it is replaced.
    """
    last, beat, told = history.last, observed.beat, observed.launch_ended
    if last is None or last.ended is not None or observed.problem is not None:
        return history
    worked_s = 0.0
    if beat is not None and observed.has_spoken:
        last = replace(last, driver=beat.driver)
        worked_s = max(0.0, (beat.batch_end_ns - beat.started_ns) / 1e9)
    if told is not None:
        last = replace(last, ended=told.at, code=told.code, worked_s=worked_s)
    elif _is_over(observed, now, policy):
        last = replace(last, ended=now, worked_s=worked_s)
    return history.with_last(last)


def _is_over(observed: Observed, now: datetime, policy: Policy) -> bool:
    """Say whether the newest launch is dead, hung, or never came."""
    if observed.launch_life is Life.DEAD:
        return True
    if observed.has_spoken or observed.newcomer(now, policy):
        return observed.health(now, policy) in (Health.GONE, Health.STOPPED, Health.HUNG)
    return observed.launch_life is Life.UNSEEN
