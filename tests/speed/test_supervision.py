"""Supervision on a real Kafka: what it reads, what it does, what it records for the next call."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from support.build import at
from support.influxd import free_port
from support.loop import own_settings
from support.speed import position
from truetape.broker.control_topic import ControlTopic
from truetape.broker.producer import Producer
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.speed.control_records import ControlRecords, DesiredState, ExitReport
from truetape.speed.decision import Adopt, BackOff, GiveUp, Nothing, Restart, Start, Stop
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Phase
from truetape.speed.launcher import LaunchArguments
from truetape.speed.lease import Lease
from truetape.speed.observation import Health, Policy, open_venues
from truetape.speed.supervision import status_of, supervise_once, write_command

pytestmark = pytest.mark.real

POLICY = Policy(back_off_s=3_600, give_up_after=2)


@dataclass
class Launches:
    """A launcher that starts nothing and records every call."""

    driver: Driver | None
    started: list[tuple[LaunchArguments, Driver | None]] = field(default_factory=list)
    stopped: list[Driver | None] = field(default_factory=list)

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:
        self.started.append((arguments, replaces))
        return self.driver

    def stop(self, driver: Driver | None, application: str) -> None:
        self.stopped.append(driver)


@pytest.fixture
def own(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A layer of its own on an existing topic; no venue is expected to have trades."""
    return own_settings(stack, tmp_path_factory.mktemp("own"), speed_venues=())


@pytest.fixture
def launches() -> Launches:
    """Every started driver is this process, which is alive."""
    return Launches(Driver.this())


@pytest.fixture
def records(own: Settings) -> Iterator[ControlRecords]:
    with ControlTopic(own.kafka) as control:
        yield ControlRecords(control, own.topic)


@pytest.fixture
def step(own: Settings, launches: Launches) -> Callable[[], object]:
    return lambda: supervise_once(own, POLICY, launches)


def running(own: Settings, records: ControlRecords, **changes: object) -> Lease:
    """This process as a working driver, under the newest command."""
    lease = Lease.take(own, records, records.refresh().desired.number)
    lease.beat(state=Phase.RUNNING, **changes)
    return lease


def test_nothing_is_started_before_a_command(step: Callable[[], object]) -> None:
    assert isinstance(step(), Nothing)


def test_a_command_starts_one_driver_and_no_second_one(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")

    assert isinstance(step(), Start)
    assert isinstance(step(), Nothing)
    lease = running(own, records)
    assert isinstance(step(), Nothing)

    assert launches.started == [(LaunchArguments(command=1, after=0), None)]
    assert records.refresh().history.last is not None
    lease.close()


def test_a_running_driver_is_adopted_if_the_history_is_lost(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    lease = running(own, records)

    assert isinstance(step(), Adopt)
    assert isinstance(step(), Nothing)

    assert launches.started == []
    lease.close()


@pytest.mark.parametrize(
    "beyond",
    [{"position": position(closed_ns=at("2098-01-02T14:59:00"), p0=1)}, {"freshness_s": -60.0}],
    ids=["watermark", "freshness"],
)
def test_a_driver_whose_times_lie_beyond_the_clock_is_not_healthy(
    own: Settings, records: ControlRecords, beyond: dict[str, object]
) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    lease = running(own, records, **beyond)

    status = status_of(own, POLICY)

    assert status.health is Health.AHEAD
    assert '"Watermark beyond the clock" in docs/RUNBOOK.md' in status.reason
    lease.close()


def test_a_driver_that_falls_silent_is_replaced(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    """The successor gets the silent driver's epoch, and starts although that driver is alive."""
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    lease = running(own, records)
    step()
    soon = datetime.now(UTC) + timedelta(seconds=POLICY.beat_within_s + 1)

    action = supervise_once(own, Policy(), launches, lambda: soon)

    assert isinstance(action, Restart)
    assert launches.started == [(LaunchArguments(command=1, after=1), Driver.this())]
    lease.close()


def test_a_driver_hangs_if_records_wait_and_no_batch_ends(
    own: Settings, records: ControlRecords
) -> None:
    """Only Kafka's end offsets show it: the driver itself reports that it has read everything."""
    lease = running(own, records, position=position(p0=0), lag={"0": 0})
    lease.beat(batch_end_ns=time.time_ns())
    with Producer(own.kafka) as producer:
        producer.send(own.topic, "IBM", b"{}", "truetape")

    waiting = status_of(own)
    patient = status_of(own, Policy(progress_within_s=0))

    assert (waiting.health, sum(waiting.observed.lag.values())) == (Health.HEALTHY, 1)
    assert patient.health is Health.HUNG
    lease.close()


def test_a_driver_may_take_longer_to_the_end_of_its_first_batch(
    own: Settings, records: ControlRecords
) -> None:
    """On a busy machine a supervisor ended five starting drivers in a row after a minute each."""
    lease = running(own, records, position=position(p0=0), lag={"0": 0}, batch_end_ns=0)
    with Producer(own.kafka) as producer:
        producer.send(own.topic, "IBM", b"{}", "truetape")

    starting = status_of(own, Policy(progress_within_s=0))
    hung = status_of(own, Policy(progress_within_s=0, start_within_s=0))

    assert starting.health is Health.LAGGING
    assert hung.health is Health.HUNG
    lease.close()


def test_the_status_shows_the_end_of_a_driver_before_a_supervisor_records_it(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    step()
    records.write_exit_report(
        ExitReport(0, Driver.this(), 78, "a file is damaged", datetime.now(UTC))
    )

    [launch] = status_of(own).history.launches

    assert (launch.ended is not None, launch.code) == (True, 78)


def test_silence_in_an_open_market_is_reported(own: Settings, records: ControlRecords) -> None:
    lease = running(own, records)
    round_the_clock = replace(own, speed_venues=("KRAKEN",))

    assert status_of(round_the_clock).health is Health.SILENT
    assert status_of(own).health is Health.HEALTHY
    lease.close()


@pytest.mark.parametrize(
    ("now", "venues"),
    [
        pytest.param(datetime(2026, 3, 5, 14, 29, tzinfo=UTC), (), id="a minute before the open"),
        pytest.param(datetime(2026, 3, 5, 14, 30, tzinfo=UTC), ("XNYS",), id="at the open"),
        pytest.param(datetime(2026, 3, 5, 20, 59, tzinfo=UTC), ("XNYS",), id="before the close"),
        pytest.param(datetime(2026, 3, 5, 21, 0, tzinfo=UTC), (), id="at the close"),
        pytest.param(datetime(2026, 3, 7, 15, 0, tzinfo=UTC), (), id="a Saturday"),
        pytest.param(datetime(2026, 4, 3, 15, 0, tzinfo=UTC), (), id="Good Friday"),
        pytest.param(datetime(2026, 11, 27, 18, 0, tzinfo=UTC), (), id="after a half day"),
    ],
)
def test_the_calendar_decides_when_silence_is_normal(
    own: Settings, now: datetime, venues: tuple[str, ...]
) -> None:
    assert open_venues(replace(own, speed_venues=("XNYS",)), now) == venues


@pytest.mark.parametrize(
    ("now", "venues"),
    [
        pytest.param(datetime(2026, 3, 8, 21, 30, tzinfo=UTC), ("FX",), id="before the evening"),
        pytest.param(
            datetime(2026, 3, 8, 22, 0, tzinfo=UTC), ("XCME", "FX"), id="a Sunday evening"
        ),
        pytest.param(datetime(2026, 3, 9, 21, 30, tzinfo=UTC), ("FX",), id="the daily break"),
        pytest.param(datetime(2026, 3, 6, 23, 30, tzinfo=UTC), (), id="a Friday evening"),
        pytest.param(datetime(2026, 11, 26, 17, 0, tzinfo=UTC), ("XCME", "FX"), id="Thanksgiving"),
        pytest.param(datetime(2026, 11, 26, 19, 0, tzinfo=UTC), ("FX",), id="and its afternoon"),
        pytest.param(datetime(2026, 12, 25, 15, 0, tzinfo=UTC), (), id="Christmas"),
    ],
)
def test_silence_is_normal_in_the_break_between_sessions_over_midnight(
    settings: Settings, now: datetime, venues: tuple[str, ...]
) -> None:
    assert open_venues(replace(settings, speed_venues=("XCME", "FX")), now) == venues


def test_an_unknown_venue_is_named(own: Settings) -> None:
    with pytest.raises(ConfigError, match="TRUETAPE_SPEED_VENUES has 'NYSE'"):
        open_venues(replace(own, speed_venues=("NYSE",)), datetime.now(UTC))


def test_the_supervisor_backs_off_after_failures_and_then_gives_up(
    own: Settings, records: ControlRecords, step: Callable[[], object]
) -> None:
    """Each call may be another process on another host: the control topic has all that it needs."""
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    assert isinstance(step(), Start)
    records.write_exit_report(ExitReport(0, Driver.this(), 75, "no Kafka", datetime.now(UTC)))

    assert isinstance(step(), BackOff)
    history = records.refresh().history
    records.write_history(history.with_launch(replace(history.launches[0])))
    assert isinstance(step(), GiveUp)
    assert isinstance(step(), GiveUp)
    write_command(own, DesiredState.STARTED, "the disk was full", "ops")
    assert isinstance(step(), Start)


def test_a_driver_that_does_not_stop_is_killed_and_loses_the_lease(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    lease = running(own, records)
    write_command(own, DesiredState.STOPPED, "maintenance", "ops")
    assert isinstance(step(), Nothing)
    late = datetime.now(UTC) + timedelta(seconds=POLICY.stop_within_s)

    action = supervise_once(own, POLICY, launches, lambda: late)

    assert isinstance(action, Stop)
    assert launches.stopped == [Driver.this()]
    with pytest.raises(Exception, match="must not write"):
        lease.beat()


@pytest.mark.usefixtures("impatient")
def test_nothing_is_done_if_kafka_is_away(own: Settings, launches: Launches) -> None:
    away = replace(own, kafka=f"127.0.0.1:{free_port()}")

    action = supervise_once(away, POLICY, launches)

    assert isinstance(action, Nothing)
    assert "cannot read" in action.reason
    assert (launches.started, status_of(away).health) == ([], Health.UNKNOWN)


def test_each_layer_has_its_own_commands(own: Settings) -> None:
    other = replace(own, topic=f"{own.topic}-{secrets.token_hex(2)}")
    write_command(own, DesiredState.STARTED, "open for business", "ops")

    assert status_of(own).desired.number == 1
    with ControlTopic(own.kafka) as control:
        assert ControlRecords(control, other.topic).refresh().desired.number == 0
