"""Supervision on a real Kafka: what is seen, what is done, what is remembered for the next call."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from support.influxd import free_port
from support.loop import own_settings
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
    """A launcher that starts nothing and says what it was asked for."""

    driver: Driver | None
    started: list[tuple[LaunchArguments, Driver | None]] = field(default_factory=list)
    stopped: list[Driver | None] = field(default_factory=list)

    def start(self, ticket: LaunchArguments, replaces: Driver | None) -> Driver | None:
        self.started.append((ticket, replaces))
        return self.driver

    def stop(self, driver: Driver | None, application: str) -> None:
        self.stopped.append(driver)


@pytest.fixture
def own(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A layer of its own, on a topic that exists; no venue is expected to be busy."""
    return own_settings(stack, tmp_path_factory.mktemp("own"), speed_venues=())


@pytest.fixture
def launches() -> Launches:
    """Whoever is started is this process, which is alive."""
    return Launches(Driver.this())


@pytest.fixture
def records(own: Settings) -> Iterator[ControlRecords]:
    with ControlTopic(own.kafka) as control:
        yield ControlRecords(control, own.topic)


@pytest.fixture
def step(own: Settings, launches: Launches) -> Callable[[], object]:
    return lambda: supervise_once(own, POLICY, launches)


def running(own: Settings, records: ControlRecords, **news: object) -> Lease:
    """This process as a driver at work, under the newest order."""
    lease = Lease.take(own, records, records.refresh().desired.number, lambda: 0)
    lease.beat(state=Phase.RUNNING, **news)
    return lease


def test_nothing_is_started_before_an_order(step: Callable[[], object]) -> None:
    assert isinstance(step(), Nothing)


def test_what_is_ordered_is_started_once_and_left_alone(
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


def test_a_driver_is_adopted_when_the_history_is_lost(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    lease = running(own, records)

    assert isinstance(step(), Adopt)
    assert isinstance(step(), Nothing)

    assert launches.started == []
    lease.close()


def test_a_driver_that_says_nothing_any_more_is_replaced(
    own: Settings, records: ControlRecords, launches: Launches, step: Callable[[], object]
) -> None:
    """The successor is told which one is known, and starts even though that one is alive."""
    write_command(own, DesiredState.STARTED, "open for business", "ops")
    lease = running(own, records)
    step()
    soon = datetime.now(UTC) + timedelta(seconds=POLICY.beat_within_s + 1)

    action = supervise_once(own, Policy(), launches, lambda: soon)

    assert isinstance(action, Restart)
    assert launches.started == [(LaunchArguments(command=1, after=1), Driver.this())]
    lease.close()


def test_records_that_wait_without_a_batch_are_a_hung_driver(
    own: Settings, records: ControlRecords
) -> None:
    """Only Kafka's own end offsets can tell: the driver itself believes that it has read all."""
    lease = running(own, records, offsets={"0": 0}, lag={"0": 0})
    with Producer(own.kafka) as producer:
        producer.send(own.topic, "IBM", b"{}", "truetape")

    waiting = status_of(own)
    patient = status_of(own, Policy(progress_within_s=0))

    assert (waiting.health, sum(waiting.observed.lag.values())) == (Health.HEALTHY, 1)
    assert patient.health is Health.HUNG
    lease.close()


def test_quiet_in_an_open_market_is_flagged(own: Settings, records: ControlRecords) -> None:
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
def test_the_calendar_says_when_quiet_is_right(
    own: Settings, now: datetime, venues: tuple[str, ...]
) -> None:
    assert open_venues(replace(own, speed_venues=("XNYS",)), now) == venues


def test_an_unknown_venue_is_named(own: Settings) -> None:
    with pytest.raises(ConfigError, match="TRUETAPE_SPEED_VENUES has 'NYSE'"):
        open_venues(replace(own, speed_venues=("NYSE",)), datetime.now(UTC))


def test_failures_are_waited_out_and_then_given_up_loudly(
    own: Settings, records: ControlRecords, step: Callable[[], object]
) -> None:
    """Each call may be another process on another host: what it knows is on the control topic."""
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


def test_a_driver_that_does_not_stop_is_made_an_end_of_and_fenced(
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


def test_without_kafka_nothing_is_done(own: Settings, launches: Launches) -> None:
    away = replace(own, kafka=f"127.0.0.1:{free_port()}")

    action = supervise_once(away, POLICY, launches)

    assert isinstance(action, Nothing)
    assert "cannot read" in action.reason
    assert (launches.started, status_of(away).health) == ([], Health.UNKNOWN)


def test_orders_of_layers_are_their_own(own: Settings) -> None:
    other = replace(own, topic=f"{own.topic}-{secrets.token_hex(2)}")
    write_command(own, DesiredState.STARTED, "open for business", "ops")

    assert status_of(own).desired.number == 1
    with ControlTopic(own.kafka) as control:
        assert ControlRecords(control, other.topic).refresh().desired.number == 0
