"""Clocks that disagree: a heartbeat, a launch or an order from the future decides nothing.

The driver's host may be ahead, or the clock of the host that looks may have been set back: both
look the same. What is alive is seen by what changes, and by the process where it can be seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from support.race import Control
from support.speed import NOW, ago, beat, command, driver, exit_report, failed, launch, ns
from truetape.host.calendars import session
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.speed import fence
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords, DesiredState, LaunchHistory
from truetape.speed.decision import Adopt, BackOff, Nothing, Restart, Start, Stop, decide, why
from truetape.speed.driver import Driver, Life
from truetape.speed.fence import FenceState, fence_state, wait_until_fenced
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.lease import Clock
from truetape.speed.observation import POLICY, WATCH_S, Health, Observed, watched
from truetape.speed.supervision import Step

DAYS = 3 * 86_400
DAY = session(venues()["XNYS"], date(2026, 3, 5))


def ahead(seconds: float = DAYS, **fields: object) -> Heartbeat:
    """Build the heartbeat of a working driver whose clock is ahead of this one."""
    values: dict[str, object] = {
        "started_ns": ns(ago(3_600 - seconds)),
        "batch_end_ns": ns(ago(-seconds)),
    }
    return beat(seconds_ago=-seconds, **(values | fields))


SILENT = Observed(beat=ahead(), launch=launch(), launch_life=Life.UNSEEN)
"""No newer heartbeat came while it was read."""
BEATING = replace(SILENT, is_beating=True)
STARTING = ahead(state=Phase.STARTING, started_ns=ns(ago(-DAYS)), batch_end_ns=0)


@pytest.mark.parametrize(
    ("observed", "health"),
    [
        pytest.param(SILENT, Health.HUNG, id="no newer heartbeat, cannot be seen"),
        pytest.param(replace(SILENT, life=Life.ALIVE), Health.HUNG, id="no newer one, frozen here"),
        pytest.param(replace(SILENT, life=Life.DEAD), Health.GONE, id="its process is dead"),
        pytest.param(replace(SILENT, ended=exit_report()), Health.GONE, id="it left a last word"),
        pytest.param(BEATING, Health.HEALTHY, id="heartbeats go on"),
        pytest.param(replace(BEATING, overdue=3), Health.LAGGING, id="batches end on its clock"),
        pytest.param(
            replace(BEATING, beat=ahead(batch_end_ns=ns(ago(61 - DAYS))), overdue=3),
            Health.HUNG,
            id="no batch ends on its clock",
        ),
        pytest.param(replace(SILENT, beat=ahead(4)), Health.HEALTHY, id="within the tolerance"),
        pytest.param(
            replace(SILENT, beat=STARTING, launch=launch(seconds_ago=20)),
            Health.STARTING,
            id="starts, launched a moment ago",
        ),
        pytest.param(
            replace(SILENT, beat=STARTING, launch=launch(seconds_ago=181)),
            Health.HUNG,
            id="starts, launched three minutes ago",
        ),
        pytest.param(
            Observed(launch=launch(None, -DAYS)),
            Health.GONE,
            id="a launch from the future, no driver",
        ),
        pytest.param(
            Observed(launch=launch(None, -5)), Health.STARTING, id="a launch a little ahead"
        ),
    ],
)
def test_health_does_not_depend_on_a_wrong_clock(observed: Observed, health: Health) -> None:
    assert observed.health(NOW, POLICY) is health


@pytest.mark.parametrize("observed", [SILENT, BEATING], ids=["silent", "beating"])
def test_the_reason_names_both_clocks_and_the_section(observed: Observed) -> None:
    assert why(observed, NOW, POLICY).endswith(
        "clocks disagree: its heartbeat is of 2026-03-08 15:00:00Z, the clock here says "
        '2026-03-05 15:00:00Z; see "Clocks that disagree" in docs/RUNBOOK.md'
    )


def test_the_reason_names_no_clock_while_they_agree() -> None:
    assert "clock" not in why(replace(SILENT, beat=ahead(4)), NOW, POLICY)


def test_a_silent_driver_from_the_future_is_replaced() -> None:
    action = decide(command(), SILENT, LaunchHistory((launch(),)), NOW)

    assert isinstance(action, Restart)
    assert action.replaces == driver()


def test_a_beating_driver_from_the_future_is_left_alone() -> None:
    action = decide(command(), BEATING, LaunchHistory((launch(),)), NOW)

    assert isinstance(action, Nothing)


def test_an_order_from_the_future_is_carried_out() -> None:
    """It was given on a host whose clock was ahead: the driver had its time to stop."""
    stop = command(DesiredState.STOPPED, number=2, seconds_ago=-DAYS)

    assert isinstance(decide(stop, BEATING, LaunchHistory((launch(),)), NOW), Stop)
    again = command(DesiredState.STARTED, number=2, seconds_ago=-DAYS)
    assert isinstance(decide(again, BEATING, LaunchHistory((launch(),)), NOW), Restart)


@pytest.mark.parametrize(
    ("seconds_ago", "expected"),
    [(-DAYS, Start), (-1, BackOff), (1, BackOff)],
    ids=["days ahead", "a second ahead", "a second ago"],
)
def test_a_failed_launch_from_the_future_holds_nothing_back(
    seconds_ago: float, expected: type
) -> None:
    history = LaunchHistory(tuple(failed(1, seconds_ago, worked_s=0) for _ in range(4)))

    assert isinstance(decide(command(), Observed(), history, NOW), expected)


def test_an_adopted_driver_is_dated_by_the_clock_of_the_supervisor() -> None:
    records = ControlRecords(Control(), "trades")  # type: ignore[arg-type]
    step = Step(records, BEATING, LaunchHistory(), NOW, lambda: None)

    history = step.take(Adopt("started by hand", driver()), None)  # type: ignore[arg-type]

    assert history.last is not None
    assert history.last.at == NOW


class Ticking:
    """A clock that a wait moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += max(seconds, 0.001)

    def monotonic(self) -> float:
        return self.seconds


def look(observed: Observed, read: Callable[[], Heartbeat | None]) -> tuple[Observed, float]:
    ticking = Ticking()
    clock = Clock(monotonic_s=ticking.monotonic)
    return watched(observed, read, NOW, clock=clock, sleep=ticking.sleep), ticking.seconds


def test_a_heartbeat_after_one_from_the_future_shows_that_the_driver_lives() -> None:
    newer = ahead(DAYS + 1)
    reads: Iterator[Heartbeat] = iter([ahead(), newer])

    observed, waited_s = look(SILENT, lambda: next(reads))

    assert (observed.beat, observed.is_beating) == (newer, True)
    assert waited_s < 1


def test_no_heartbeat_after_one_from_the_future_is_waited_for_a_few_seconds() -> None:
    observed, waited_s = look(SILENT, ahead)

    assert observed == SILENT
    assert waited_s == pytest.approx(WATCH_S)


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(Observed(), id="no heartbeat"),
        pytest.param(replace(SILENT, beat=beat()), id="clocks agree"),
        pytest.param(replace(SILENT, life=Life.DEAD), id="dead"),
        pytest.param(replace(SILENT, ended=exit_report()), id="a last word"),
        pytest.param(replace(SILENT, beat=STARTING), id="a driver that starts does not beat"),
    ],
)
def test_nothing_is_waited_for_if_it_would_not_help(observed: Observed) -> None:
    def read() -> Heartbeat | None:
        pytest.fail("read again")

    assert look(observed, read) == (observed, 0.0)


@pytest.mark.parametrize(
    ("seconds_ago", "life", "unchanged_s", "state"),
    [
        pytest.param(1, Life.UNSEEN, 0, FenceState.PENDING, id="alive"),
        pytest.param(31, Life.UNSEEN, 0, FenceState.SILENT, id="silent"),
        pytest.param(-DAYS, Life.UNSEEN, 0, FenceState.PENDING, id="ahead, just read"),
        pytest.param(-DAYS, Life.ALIVE, 31, FenceState.SILENT, id="ahead, frozen"),
        pytest.param(-DAYS, Life.UNSEEN, 31, FenceState.SILENT, id="ahead, no newer one"),
        pytest.param(-DAYS, Life.DEAD, 0, FenceState.ENDED, id="ahead and dead"),
        pytest.param(1, Life.DEAD, 0, FenceState.ENDED, id="dead a second ago"),
    ],
)
def test_a_publication_waits_for_no_driver_that_is_gone(
    seconds_ago: float, life: Life, unchanged_s: float, state: FenceState
) -> None:
    seen = beat(seconds_ago=seconds_ago)

    assert fence_state(seen, "XNYS", 1, ns(NOW), life=life, unchanged_s=unchanged_s) is state


@pytest.mark.parametrize("life", Life)
def test_a_driver_that_obeys_is_not_waited_for_whatever_its_clock(life: Life) -> None:
    obeying = ahead(fences={"XNYS": 5})

    assert fence_state(obeying, "XNYS", 5, ns(NOW), life=life) is FenceState.OBEYED


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """Fake time for a publication that waits; the day is `NOW`."""
    made = Ticking()
    clock = SimpleNamespace(sleep=made.sleep, monotonic=made.monotonic, time_ns=lambda: ns(NOW))
    monkeypatch.setattr(fence, "time", clock)
    return made


def publish(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    read: Callable[[], Heartbeat],
    life: Life = Life.UNSEEN,
) -> tuple[list[str], int]:
    """Wait for the fence; return the messages, and how often the lease was taken."""
    taken: list[Settings] = []
    messages: list[str] = []
    monkeypatch.setattr(fence, "newest", lambda *_: read())
    monkeypatch.setattr(fence, "revoke", taken.append)
    monkeypatch.setattr(fence, "life_of", lambda _: life)
    wait_until_fenced(settings, DAY, messages.append)
    return messages, len(taken)


def test_a_dead_driver_of_this_host_keeps_no_publication_waiting(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """The publisher's clock was set three days back after the driver had died."""
    messages, taken = publish(monkeypatch, settings, ahead, Life.DEAD)

    assert messages == [f"{driver()} has ended"]
    assert (taken, ticking.seconds) == (0, pytest.approx(0, abs=0.01))


def test_a_write_of_a_dead_driver_may_still_arrive(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    writing = ahead(writing=(Span("XNYS", 0, 1),))

    publish(monkeypatch, settings, lambda: writing, Life.DEAD)

    assert ticking.seconds == pytest.approx(settings.write_timeout_s)


def test_a_silent_driver_from_the_future_loses_the_lease(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    messages, taken = publish(monkeypatch, settings, ahead)

    assert taken == 1
    assert messages[-1].startswith(
        f"{driver()} is silent; taking the lease from it; clocks disagree"
    )
    assert fence.ALIVE_S <= ticking.seconds < fence.ALIVE_S + 2


def test_a_beating_driver_from_the_future_keeps_the_lease_and_both_clocks_are_named(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with pytest.raises(TransientError, match="did not obey the fence of XNYS") as error:
        publish(monkeypatch, settings, lambda: ahead(DAYS + ticking.seconds))

    assert "its heartbeat is of 2026-03-08 15:0" in str(error.value)
    assert "the clock here says 2026-03-05 15:00:00Z" in str(error.value)


def test_a_driver_here_is_looked_at_by_pid_and_birth(
    ticking: Ticking, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """A process with the pid of the dead driver is not it."""
    gone = replace(Driver.this(), born="another boot/1")
    monkeypatch.setattr(fence, "newest", lambda *_: replace(ahead(), driver=gone))
    messages: list[str] = []

    wait_until_fenced(settings, DAY, messages.append)

    assert messages == [f"{gone} has ended"]
