"""The supervisor's decision, as a table: the observation, the command, the action."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import at
from support.machines import examples
from support.speed import (
    NOW,
    ago,
    beat,
    command,
    driver,
    exit_report,
    failed,
    launch,
    ns,
    position,
)
from truetape.speed.control_records import (
    MAX_LAUNCHES,
    NO_COMMAND,
    DesiredState,
    ExitReport,
    Launch,
    LaunchHistory,
    LaunchKind,
    back_off,
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
from truetape.speed.driver import Life
from truetape.speed.heartbeat import Heartbeat, Phase
from truetape.speed.observation import POLICY, Health, Observed, exit_report_of, update_history
from truetape.speed.position import SpeedPosition

ALIVE = Observed(beat=beat(), life=Life.ALIVE, launch=launch(), launch_life=Life.ALIVE)
"""The launched driver works and has read everything."""
NOBODY = Observed()
FROZEN = replace(ALIVE, beat=beat(seconds_ago=21))
KILLED = replace(ALIVE, life=Life.DEAD, launch_life=Life.DEAD)
STUCK = replace(ALIVE, beat=beat(batch_end_ns=ns(ago(61))), lag={"0": 40}, overdue=3)
BUSY = replace(ALIVE, beat=beat(batch_end_ns=ns(ago(5))), lag={"0": 9_000}, overdue=8_000)
AHEAD = replace(ALIVE, ahead="its watermark is 2098-01-02T14:59:00Z")
KNOWN = LaunchHistory((launch(),))


def seen(**fields: object) -> Observed:
    return replace(ALIVE, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observed", "health"),
    [
        pytest.param(ALIVE, Health.HEALTHY, id="beats, has read everything"),
        pytest.param(seen(lag={"0": 5}), Health.HEALTHY, id="a few records that just came"),
        pytest.param(
            seen(beat=beat(batch_end_ns=ns(ago(3_000)))), Health.HEALTHY, id="quiet, market closed"
        ),
        pytest.param(
            seen(beat=beat(batch_end_ns=ns(ago(3_000))), lag={"0": 1}),
            Health.HEALTHY,
            id="the first trade after a quiet hour",
        ),
        pytest.param(seen(open_venues=("XNYS",)), Health.SILENT, id="quiet, market open"),
        pytest.param(AHEAD, Health.AHEAD, id="its watermark is beyond the clock"),
        pytest.param(
            replace(AHEAD, open_venues=("XNYS",)), Health.AHEAD, id="ahead is worse than silent"
        ),
        pytest.param(
            replace(BUSY, ahead=AHEAD.ahead), Health.AHEAD, id="ahead is worse than behind"
        ),
        pytest.param(replace(STUCK, ahead=AHEAD.ahead), Health.HUNG, id="a restart is due anyway"),
        pytest.param(BUSY, Health.LAGGING, id="far behind, batches end"),
        pytest.param(STUCK, Health.HUNG, id="beats, records wait, no batch ends"),
        pytest.param(FROZEN, Health.HUNG, id="alive and silent"),
        pytest.param(
            replace(FROZEN, life=Life.UNSEEN), Health.HUNG, id="silent, on another machine"
        ),
        pytest.param(replace(FROZEN, life=Life.DEAD), Health.GONE, id="silent and dead"),
        pytest.param(seen(life=Life.DEAD), Health.GONE, id="killed a moment ago"),
        pytest.param(NOBODY, Health.GONE, id="never a driver"),
        pytest.param(seen(ended=exit_report(code=0)), Health.STOPPED, id="exit report: stopped"),
        pytest.param(seen(ended=exit_report(code=75)), Health.GONE, id="exit report: failed"),
        pytest.param(seen(beat=beat(state=Phase.STOPPED)), Health.STOPPED, id="last beat: stopped"),
        pytest.param(seen(beat=beat(state=Phase.FAILED)), Health.GONE, id="last beat: failed"),
        pytest.param(
            seen(beat=beat(state=Phase.STARTING, started_ns=ns(ago(20)))),
            Health.STARTING,
            id="has the lease, starts Spark",
        ),
        pytest.param(
            seen(beat=beat(state=Phase.STARTING, started_ns=ns(ago(181)))),
            Health.HUNG,
            id="has been starting for three minutes",
        ),
        pytest.param(
            seen(launch=launch(2, 5, after=1)),
            Health.STARTING,
            id="a successor has sent no heartbeat yet",
        ),
        pytest.param(
            seen(launch=launch(2, 181, after=1)),
            Health.HUNG,
            id="a successor is alive and never sent a heartbeat",
        ),
        pytest.param(
            seen(launch=launch(None, 5, after=1), launch_life=Life.UNSEEN),
            Health.STARTING,
            id="a cluster may be starting a driver",
        ),
        pytest.param(
            seen(launch=launch(None, 181, after=1), launch_life=Life.UNSEEN),
            Health.HEALTHY,
            id="a cluster started no driver, the old one works",
        ),
        pytest.param(
            Observed(launch=launch(None, 181, after=1)),
            Health.GONE,
            id="a cluster started no driver at all",
        ),
        pytest.param(
            seen(launch=launch(2, 5, after=1), launch_life=Life.DEAD),
            Health.HEALTHY,
            id="a successor died, the old one works",
        ),
        pytest.param(
            seen(
                launch=launch(2, 5, after=1),
                launch_ended=exit_report(2, 78),
                launch_life=Life.UNSEEN,
            ),
            Health.HEALTHY,
            id="a successor refused, the old one works",
        ),
        pytest.param(seen(problem="no Kafka"), Health.UNKNOWN, id="unreadable"),
        pytest.param(
            replace(KILLED, problem="no Kafka"), Health.UNKNOWN, id="dead, but unreadable"
        ),
    ],
)
def test_health_is_judged_by_progress(observed: Observed, health: Health) -> None:
    assert observed.health(NOW, POLICY) is health


@pytest.mark.parametrize("health", [ALIVE, FROZEN, KILLED, STUCK, BUSY, NOBODY])
def test_every_health_has_a_reason(health: Observed) -> None:
    assert why(health, NOW, POLICY)


def names(action: Action) -> str:
    return type(action).__name__


@pytest.mark.parametrize(
    ("desired", "observed", "history", "action"),
    [
        pytest.param(command(), ALIVE, KNOWN, Nothing, id="healthy"),
        pytest.param(command(), BUSY, KNOWN, Nothing, id="catching up"),
        pytest.param(
            command(), seen(open_venues=("XNYS",)), KNOWN, Nothing, id="a silent feed is no fault"
        ),
        pytest.param(command(), ALIVE, LaunchHistory(), Adopt, id="healthy, history was lost"),
        pytest.param(
            command(), seen(beat=beat(3, epoch=2)), KNOWN, Adopt, id="somebody else took the lease"
        ),
        pytest.param(
            command(),
            ALIVE,
            LaunchHistory((failed(1, 3_700, code=None),)),
            Adopt,
            id="counted as dead and works",
        ),
        pytest.param(command(), NOBODY, LaunchHistory(), Start, id="never a driver"),
        pytest.param(command(), KILLED, KNOWN, Start, id="killed"),
        pytest.param(
            command(), seen(ended=exit_report(code=0)), KNOWN, Start, id="ended by a signal"
        ),
        pytest.param(command(), FROZEN, KNOWN, Restart, id="frozen"),
        pytest.param(command(), STUCK, KNOWN, Restart, id="stuck"),
        pytest.param(
            command(),
            seen(launch=launch(2, 5, after=1)),
            LaunchHistory((launch(), launch(2, 5, after=1))),
            Nothing,
            id="a driver is starting",
        ),
        pytest.param(
            command(),
            seen(launch=launch(2, 181, after=1)),
            KNOWN,
            Restart,
            id="a driver never started",
        ),
        pytest.param(command(), seen(problem="no Kafka"), KNOWN, Nothing, id="unreadable"),
        pytest.param(NO_COMMAND, NOBODY, LaunchHistory(), Nothing, id="no command yet"),
        pytest.param(
            NO_COMMAND, seen(beat=beat(command=0)), LaunchHistory(), Nothing, id="run by hand"
        ),
        pytest.param(
            command(DesiredState.STOPPED, 2),
            seen(ended=exit_report(code=0)),
            KNOWN,
            Nothing,
            id="stopped",
        ),
        pytest.param(
            command(DesiredState.STOPPED, 2), KILLED, KNOWN, Nothing, id="killed while stopping"
        ),
        pytest.param(
            command(DesiredState.STOPPED, 2, seconds_ago=5),
            ALIVE,
            KNOWN,
            Nothing,
            id="asked to stop",
        ),
        pytest.param(
            command(DesiredState.STOPPED, 2, seconds_ago=91), ALIVE, KNOWN, Stop, id="does not stop"
        ),
        pytest.param(
            command(DesiredState.STOPPED, 2, seconds_ago=91),
            FROZEN,
            KNOWN,
            Stop,
            id="frozen, must stop",
        ),
        pytest.param(
            command(DesiredState.STOPPED, 2, seconds_ago=91),
            seen(beat=beat(command=2)),
            KNOWN,
            Nothing,
            id="started by hand after the command to stop",
        ),
        pytest.param(
            command(number=2, seconds_ago=5), ALIVE, KNOWN, Nothing, id="restart: ends its batch"
        ),
        pytest.param(
            command(number=2, seconds_ago=91), ALIVE, KNOWN, Restart, id="restart: does not end"
        ),
        pytest.param(
            command(number=2, seconds_ago=5),
            seen(ended=exit_report(code=0)),
            KNOWN,
            Start,
            id="restart: has ended",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory((failed(1, 0.5, 0.2),)),
            BackOff,
            id="failed at once, too early",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory((failed(1, 1.5, 0.2),)),
            Start,
            id="failed at once, time is up",
        ),
        pytest.param(
            command(),
            FROZEN,
            LaunchHistory(tuple(failed(n, 100 - n) for n in range(8))),
            BackOff,
            id="hung after eight failures",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory((*(failed(n, 4_000 - n) for n in range(8)), failed(9, 70, 61))),
            Start,
            id="worked for a minute: earlier failures are forgotten",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory((failed(1, 900, 1, code=78),)),
            GiveUp,
            id="a setting is wrong",
        ),
        pytest.param(
            command(number=2),
            KILLED,
            LaunchHistory((failed(1, 900, 1, code=78),)),
            Start,
            id="a setting was wrong, a new command",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory(tuple(failed(n, 3_500 - n) for n in range(12))),
            GiveUp,
            id="twelve failures within the hour",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory(tuple(failed(n, 3_500 - n) for n in range(11))),
            Start,
            id="eleven failures within the hour",
        ),
        pytest.param(
            command(),
            KILLED,
            LaunchHistory(tuple(failed(n, 3_605 - n) for n in range(12))),
            Start,
            id="twelve failures, some longer ago",
        ),
        pytest.param(
            command(number=2),
            KILLED,
            LaunchHistory(tuple(failed(n, 3_500 - n) for n in range(12))),
            Start,
            id="twelve failures, a new command",
        ),
        pytest.param(
            command(), KILLED, LaunchHistory(gave_up=1), GiveUp, id="given up stays given up"
        ),
        pytest.param(
            command(number=2), KILLED, LaunchHistory(gave_up=1), Start, id="given up, a new command"
        ),
        pytest.param(
            command(), ALIVE, LaunchHistory(gave_up=1), Adopt, id="given up, but a driver works"
        ),
    ],
)
def test_the_supervisor_takes_the_expected_step(
    desired: object, observed: Observed, history: LaunchHistory, action: type
) -> None:
    assert names(decide(desired, observed, history, NOW)) == action.__name__  # type: ignore[arg-type]


def test_a_restart_names_what_it_replaces() -> None:
    assert decide(command(), FROZEN, KNOWN, NOW) == Restart(
        "pid 1 on host-1 makes no progress, 0 records behind", driver(1)
    )


def test_a_driver_that_is_ahead_is_left_alone_and_the_reason_names_the_way_out() -> None:
    """A new driver would begin with the same watermark."""
    action = decide(command(), AHEAD, KNOWN, NOW)

    assert isinstance(action, Nothing)
    assert action.reason == (
        f"{driver()} serves no trade of now: its watermark is 2098-01-02T14:59:00Z; "
        'see "Watermark beyond the clock" in docs/RUNBOOK.md'
    )


def closed(until: str) -> SpeedPosition:
    """Return the position of a driver that has closed windows up to a time."""
    return position(closed_ns=at(until), p0=100)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"position": closed("2026-03-05T14:59:00"), "freshness_s": 1.5}, ""),
        ({"position": SpeedPosition()}, ""),
        ({"position": closed("2026-03-05T15:00:06"), "freshness_s": -6.0}, ""),
        ({"position": closed("2026-03-05T15:01:06")}, ""),
        (
            {"position": closed("2026-03-05T15:01:06.001")},
            "its watermark is 2026-03-05T15:01:06Z",
        ),
        ({"position": closed("2098-01-02T14:59:00")}, "its watermark is 2098-01-02T14:59:00Z"),
        ({"freshness_s": -6.5}, "its newest bar starts 6 s in the future"),
        (
            {"freshness_s": -2_243_535_216.0},
            "its newest bar starts 2,243,535,216 s in the future",
        ),
    ],
)
def test_a_heartbeat_names_what_lies_beyond_the_clock(
    fields: dict[str, object], reason: str
) -> None:
    assert beat(**fields).beyond_clock(NOW, timedelta(seconds=6)) == reason


def test_giving_up_names_the_last_failure() -> None:
    fallen = replace(KILLED, launch_ended=exit_report(1, 78, message="the contract is damaged"))

    action = decide(command(), fallen, LaunchHistory((failed(1, 9, code=78),)), NOW)

    assert isinstance(action, GiveUp)
    assert "the contract is damaged" in action.reason


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (5_000, 300)]
)
def test_the_time_between_launches_doubles(failures: int, seconds: float) -> None:
    assert back_off(failures, 1, 300) == timedelta(seconds=seconds)


def test_the_back_off_counts_from_the_last_launch() -> None:
    """A driver that needs 20 s to fail has waited for 20 s already."""
    history = LaunchHistory(tuple(failed(n, 300 - 60 * n, 20) for n in range(5)))

    assert decide(command(), KILLED, history, ago(45)) == BackOff(
        "5 failed in a row: pid 1 on host-1 is gone without an exit report; see "
        "logs/speed_layer.log",
        ago(44),
    )
    assert names(decide(command(), KILLED, history, ago(44))) == "Start"


@pytest.mark.parametrize(
    ("driver_record", "expected"),
    [
        pytest.param(beat(epoch=3), exit_report(2, epoch=3), id="the holder, by its epoch"),
        pytest.param(launch(2), exit_report(2, epoch=3), id="a process, by itself"),
        pytest.param(
            launch(None, 60, after=2), exit_report(2, epoch=3), id="a cluster's, as it is newer"
        ),
        pytest.param(
            launch(None, 60, after=3), exit_report(1, epoch=0), id="a cluster's, it had no lease"
        ),
        pytest.param(
            launch(None, 60, after=3), None, id="a cluster's, only its predecessor reported"
        ),
        pytest.param(launch(3), None, id="a process without a report"),
        pytest.param(beat(epoch=4), None, id="a holder without a report"),
    ],
)
def test_an_exit_report_is_matched_to_its_driver(
    driver_record: Heartbeat | Launch, expected: ExitReport | None
) -> None:
    reports = [exit_report(2, epoch=3)] if expected is None else [exit_report(9, epoch=1), expected]

    assert exit_report_of(driver_record, reports) == expected


class TestSettling:
    """What the history records of an observation."""

    def last(self, history: LaunchHistory, observed: Observed) -> Launch:
        last = update_history(history, observed, NOW, POLICY).last
        assert last is not None
        return last

    def test_a_healthy_driver_has_not_ended(self) -> None:
        assert update_history(KNOWN, ALIVE, NOW, POLICY) == KNOWN

    def test_a_killed_one_has_no_code_and_worked_until_its_last_batch(self) -> None:
        last = self.last(KNOWN, KILLED)

        assert (last.ended, last.code) == (NOW, None)
        assert last.worked_s == pytest.approx(3_599.5)

    def test_one_that_said_why_keeps_its_code_and_time(self) -> None:
        last = self.last(KNOWN, replace(KILLED, launch_ended=exit_report(code=78, seconds_ago=9)))

        assert (last.ended, last.code) == (ago(9), 78)

    def test_a_hung_one_has_ended(self) -> None:
        assert self.last(KNOWN, FROZEN).ended == NOW

    def test_one_that_died_before_it_spoke_never_worked(self) -> None:
        history = LaunchHistory((launch(2, 5, after=1),))
        fallen = Observed(beat=beat(1), launch=history.last, launch_life=Life.DEAD)

        last = self.last(history, fallen)

        assert (last.ended, last.worked_s) == (NOW, 0.0)

    def test_one_that_a_cluster_never_started_has_ended(self) -> None:
        history = LaunchHistory((launch(None, 181, after=1),))

        assert self.last(history, Observed(launch=history.last)).ended == NOW

    def test_one_on_a_cluster_is_known_by_its_first_word(self) -> None:
        history = LaunchHistory((launch(None, 3_700, after=1),))
        spoken = Observed(beat=beat(4, epoch=2), launch=history.last)

        assert self.last(history, spoken).driver == driver(4)

    def test_nothing_is_learnt_when_nothing_can_be_read(self) -> None:
        assert update_history(KNOWN, replace(KILLED, problem="no Kafka"), NOW, POLICY) == KNOWN

    def test_what_has_ended_stays_as_it_was(self) -> None:
        history = LaunchHistory((failed(1, 100),))

        assert update_history(history, KILLED, NOW, POLICY) == history

    def test_the_history_is_bounded(self) -> None:
        history = LaunchHistory()
        for number in range(MAX_LAUNCHES + 5):
            history = history.with_launch(launch(number))

        assert len(history.launches) == MAX_LAUNCHES
        assert history.launches[0].driver == driver(5)


PIDS = st.integers(1, 3)
SECONDS = st.floats(0, 8_000)
BEATS = st.none() | st.builds(
    beat,
    PIDS,
    st.floats(0, 100),
    command=st.integers(0, 2),
    state=st.sampled_from(Phase),
    started_ns=SECONDS.map(ago).map(ns),
    batch_end_ns=SECONDS.map(ago).map(ns),
)
EXIT_REPORTS = st.none() | st.builds(exit_report, PIDS, st.sampled_from([0, 1, 75, 78]), SECONDS)
LAUNCHES = st.builds(
    Launch,
    SECONDS.map(ago),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(LaunchKind),
    st.just("because"),
    st.none() | PIDS.map(driver),
    st.none() | SECONDS.map(ago),
    st.sampled_from([None, 0, 1, 75, 78]),
    SECONDS,
)
HISTORIES = st.builds(
    LaunchHistory,
    st.lists(LAUNCHES, max_size=15).map(lambda some: tuple(sorted(some, key=lambda one: one.at))),
    st.none() | st.integers(0, 2),
)
OBSERVED = st.builds(
    Observed,
    st.none() | st.just("no Kafka"),
    BEATS,
    st.sampled_from(Life),
    EXIT_REPORTS,
    st.none() | LAUNCHES,
    st.sampled_from(Life),
    EXIT_REPORTS,
    st.dictionaries(st.sampled_from(["0", "1"]), st.integers(0, 9)),
    st.integers(0, 5),
    st.sampled_from([(), ("XNYS",)]),
)
COMMANDS = st.builds(command, st.sampled_from(DesiredState), st.integers(1, 3), st.floats(0, 500))
ANYTHING = examples(60)


@ANYTHING
@given(COMMANDS, OBSERVED, HISTORIES)
def test_a_driver_is_started_only_if_no_driver_works(
    desired: object, observed: Observed, history: LaunchHistory
) -> None:
    action = decide(desired, observed, history, NOW)  # type: ignore[arg-type]

    health = observed.health(NOW, POLICY)
    match action:
        case Start() | BackOff() | GiveUp() if not isinstance(action, Start):
            assert health in (Health.GONE, Health.STOPPED, Health.HUNG)
        case Start():
            assert health in (Health.GONE, Health.STOPPED)
        case Restart():
            assert health is Health.HUNG or observed.command(NOW, POLICY) < desired.number  # type: ignore[attr-defined]


@ANYTHING
@given(COMMANDS, OBSERVED, HISTORIES)
def test_a_command_to_stop_starts_no_driver_and_a_command_to_run_stops_none(
    desired: object, observed: Observed, history: LaunchHistory
) -> None:
    action = decide(desired, observed, history, NOW)  # type: ignore[arg-type]

    if desired.state is DesiredState.STOPPED:  # type: ignore[attr-defined]
        assert isinstance(action, Nothing | Stop)
    else:
        assert not isinstance(action, Stop)


@ANYTHING
@given(COMMANDS, OBSERVED, HISTORIES)
def test_nothing_is_done_if_something_cannot_be_read(
    desired: object, observed: Observed, history: LaunchHistory
) -> None:
    blind = replace(observed, problem="no Kafka")

    assert isinstance(decide(desired, blind, history, NOW), Nothing)  # type: ignore[arg-type]


@ANYTHING
@given(COMMANDS, OBSERVED, HISTORIES)
def test_every_back_off_ends(desired: object, observed: Observed, history: LaunchHistory) -> None:
    """A back-off names an instant at which the same observation leads to another action."""
    action = decide(desired, observed, history, NOW)  # type: ignore[arg-type]
    if not isinstance(action, BackOff):
        return

    assert NOW < action.until <= NOW + timedelta(seconds=POLICY.max_back_off_s)
    later: datetime = action.until
    assert not isinstance(decide(desired, observed, history, later), BackOff)  # type: ignore[arg-type]


@ANYTHING
@given(COMMANDS, OBSERVED, HISTORIES)
def test_every_action_has_a_reason(
    desired: object, observed: Observed, history: LaunchHistory
) -> None:
    assert decide(desired, observed, history, NOW).reason  # type: ignore[arg-type]
