"""The lease on a real Kafka: the last driver holds it, and its heartbeats are always readable."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kafka.errors import KafkaError, ProducerFencedError

from support.influxd import free_port
from truetape.broker.control_topic import ControlTopic
from truetape.broker.topics import HEARTBEAT
from truetape.host.errors import LeaseLostError, TransientError
from truetape.host.settings import Settings
from truetape.lake.record_identity import HeldRecord
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Phase, newest
from truetape.speed.lease import Lease, revoke
from truetape.speed.position import PartitionPosition, ReadLog, SpeedPosition

pytestmark = pytest.mark.real

SPAN = Span("XNYS", 100, 200)


@pytest.fixture
def own(stack: Settings) -> Settings:
    """Settings of a layer that no other test uses; all tests share the topics."""
    return replace(stack, topic=f"trades-{secrets.token_hex(4)}")


@pytest.fixture
def records(own: Settings) -> Iterator[ControlRecords]:
    with ControlTopic(own.kafka) as control:
        yield ControlRecords(control, own.topic)


def taken(own: Settings, records: ControlRecords, command: int = 0) -> Lease:
    return Lease.take(own, records, command)


def test_a_holder_reports_who_it_is(own: Settings, records: ControlRecords) -> None:
    lease = taken(own, records, 4)
    lease.beat(state=Phase.RUNNING, position=SpeedPosition(7))

    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert (beat.epoch, beat.driver, beat.command) == (1, Driver.this(), 4)
    assert (beat.state, beat.position.batch, beat.writing) == (Phase.RUNNING, 7, ())
    lease.close()


def test_the_next_driver_takes_the_lease_and_gets_the_next_epoch(
    own: Settings, records: ControlRecords
) -> None:
    first = taken(own, records)
    second = taken(own, records)

    with pytest.raises(LeaseLostError, match="must not write"):
        first.beat(position=SpeedPosition(1))
    with pytest.raises(LeaseLostError):
        first.beat(position=SpeedPosition(2))
    second.beat(position=SpeedPosition(3))
    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert (beat.epoch, beat.position.batch) == (2, 3)
    second.close()


def test_a_write_that_was_announced_and_not_confirmed_is_inherited_as_unfinished(
    own: Settings, records: ControlRecords
) -> None:
    first = taken(own, records)
    first.beat(writing=(SPAN,))
    second = taken(own, records)

    with pytest.raises(LeaseLostError):
        first.beat(writing=())

    assert first.unconfirmed == (SPAN,)
    (unfinished,) = second.takeover.unfinished
    assert (unfinished.epoch, unfinished.spans) == (1, (SPAN,))
    third = taken(own, records)
    assert third.takeover.unfinished == (unfinished,)
    third.close()


def test_a_confirmed_write_is_not_inherited(own: Settings, records: ControlRecords) -> None:
    first = taken(own, records)
    first.beat(writing=(SPAN,))
    first.beat(writing=())

    second = taken(own, records)

    assert (first.unconfirmed, second.takeover.unfinished) == ((), ())
    second.close()


def test_the_next_driver_gets_the_position_that_was_committed_last(
    own: Settings, records: ControlRecords
) -> None:
    """And the heartbeat of its start has it already, so a driver that ends at once loses none."""
    position = SpeedPosition(7, {"0": PartitionPosition(100, 2_000, 90, 1_000)})
    log = ReadLog("id-a", {"0": HeldRecord(99, 1_000)})
    first = taken(own, records)
    first.beat(position=position, log=log)
    second = taken(own, records)
    with pytest.raises(LeaseLostError):
        first.beat(position=replace(position, batch=8))

    third = taken(own, records)

    for lease in (second, third):
        assert (lease.takeover.position, lease.takeover.log) == (position, log)
    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert (beat.epoch, beat.position, beat.log) == (3, position, log)
    third.close()


def test_layers_do_not_take_each_other_s_lease(own: Settings, records: ControlRecords) -> None:
    other = replace(own, topic=f"{own.topic}-b")
    lease = taken(own, records)
    neighbour = taken(other, ControlRecords(records.control, other.topic))
    for _ in range(300):
        neighbour.beat()

    lease.beat(position=SpeedPosition(5))
    for _ in range(300):
        neighbour.beat()

    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert beat.position.batch == 5
    lease.close()
    neighbour.close()


def test_a_layer_without_a_driver_has_no_heartbeat(own: Settings) -> None:
    assert newest(own.kafka, own.topic) is None


def test_a_revoked_lease_belongs_to_nobody(own: Settings, records: ControlRecords) -> None:
    lease = taken(own, records)

    revoke(own)

    with pytest.raises(LeaseLostError):
        lease.beat()


def test_a_lost_lease_is_recognised_if_the_sender_thread_learns_of_it_first(
    own: Settings, records: ControlRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kafka-python 3.0.12 then raises its base class, with the real error in the message."""
    lease = taken(own, records)
    message = "Cannot execute transactional method because we are in an error state: [Error 90] "
    error = KafkaError(message + ProducerFencedError.__name__)

    def begin() -> None:
        raise error

    monkeypatch.setattr(lease._producer._client, "begin_transaction", begin)

    with pytest.raises(LeaseLostError, match="must not write any more"):
        lease.beat()


def test_an_open_transaction_of_another_producer_hides_no_heartbeat(
    own: Settings, records: ControlRecords
) -> None:
    """A reader of committed records would read nothing after it, as long as it stays open."""
    from kafka import KafkaProducer

    stray = KafkaProducer(bootstrap_servers=own.kafka, transactional_id=f"stray-{own.topic}")
    stray.init_transactions()
    stray.begin_transaction()
    stray.send(HEARTBEAT, partition=0, key=b"stray", value=b"{}").get(10)

    lease = taken(own, records)
    lease.beat(position=SpeedPosition(9))

    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert beat.position.batch == 9
    stray.abort_transaction()
    stray.close()
    lease.close()


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_is_away_is_a_transient_error(own: Settings) -> None:
    away = replace(own, kafka=f"127.0.0.1:{free_port()}")

    with pytest.raises(TransientError, match="cannot read"):
        newest(away.kafka, away.topic)
