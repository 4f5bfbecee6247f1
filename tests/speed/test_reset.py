"""A reset of the position: what it commits, whom it ends, where the next driver begins."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.loop import own_settings, send
from truetape.broker.control_topic import ControlTopic
from truetape.broker.offsets import end_offsets
from truetape.broker.producer import Producer
from truetape.broker.topics import HEARTBEAT
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError, LeaseLostError
from truetape.host.settings import Settings
from truetape.lake.record_identity import HeldRecord
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords, DesiredState
from truetape.speed.heartbeat import Phase, newest
from truetape.speed.lease import Lease
from truetape.speed.position import NO_LOG, PartitionPosition, ReadLog, SpeedPosition
from truetape.speed.reset import ResetTo, reset_position
from truetape.speed.supervision import write_command

pytestmark = pytest.mark.real

READ = SpeedPosition(7, {"0": PartitionPosition(100, 2_000, 90, 1_000)})
LOG = ReadLog("id-a", {"0": HeldRecord(99, 1_000)})
RECORDS = [Record(b"{}", "truetape", f"S{number}", 1) for number in range(20)]


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    return own_settings(stack, tmp_path, partitions=2)


@pytest.fixture
def records(own: Settings) -> Iterator[ControlRecords]:
    with ControlTopic(own.kafka) as control:
        yield ControlRecords(control, own.topic)


@pytest.mark.parametrize("to", ResetTo)
def test_a_running_driver_loses_the_lease_and_its_log_is_forgotten(
    own: Settings, records: ControlRecords, to: ResetTo
) -> None:
    driver = Lease.take(own, records, 0)
    driver.beat(state=Phase.RUNNING, position=READ, log=LOG)

    position = reset_position(own, to)

    with pytest.raises(LeaseLostError):
        driver.beat()
    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert (beat.epoch, beat.state) == (2, Phase.STOPPED)
    assert (beat.position, beat.log) == (position, NO_LOG)


def test_a_heartbeat_of_a_version_that_cannot_be_read_is_replaced(
    own: Settings, records: ControlRecords
) -> None:
    with Producer(own.kafka) as producer:
        producer.send(HEARTBEAT, own.topic, b'{"layer": 1}', "truetape", None)
    with pytest.raises(ConfigError, match="another version"):
        newest(own.kafka, own.topic)

    reset_position(own, ResetTo.START)

    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert beat.position == SpeedPosition()


def test_after_a_reset_to_the_start_the_next_driver_reads_all_that_kafka_has(
    own: Settings, records: ControlRecords
) -> None:
    Lease.take(own, records, 0).beat(position=READ, log=LOG)

    assert reset_position(own, ResetTo.START) == SpeedPosition()

    assert Lease.take(own, records, 0).takeover.position == SpeedPosition()


def test_after_a_reset_to_the_end_the_next_driver_reads_what_comes_from_now_on(
    own: Settings, records: ControlRecords
) -> None:
    """Windows stay closed that records before may be in: they would be incomplete."""
    send(own, RECORDS)
    ends = end_offsets(own.kafka, own.topic)
    now_ns = time.time_ns()

    reset_position(own, ResetTo.END)

    position = Lease.take(own, records, 0).takeover.position
    assert position.offsets == position.horizons == {str(part): end for part, end in ends.items()}
    assert sum(position.offsets.values()) == len(RECORDS)
    for place in position.partitions.values():
        assert place.closed_ns == place.horizon_closed_ns
        assert now_ns < place.closed_ns < now_ns + 180 * 10**9


def test_a_write_that_was_under_way_stays_watched(own: Settings, records: ControlRecords) -> None:
    span = Span("XNYS", 100, 200)
    Lease.take(own, records, 0).beat(writing=(span,), writing_batch=8)

    reset_position(own, ResetTo.START)

    (unfinished,) = Lease.take(own, records, 0).takeover.unfinished
    assert (unfinished.epoch, unfinished.spans) == (1, (span,))


def test_a_reset_changes_no_order(own: Settings, records: ControlRecords) -> None:
    write_command(own, DesiredState.STARTED, "open for business", "ops")

    reset_position(own, ResetTo.START)

    beat = newest(own.kafka, own.topic)
    assert beat is not None
    assert (beat.command, records.refresh().desired.number) == (1, 1)
