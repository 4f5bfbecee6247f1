"""The fence on a real Kafka: which driver a publication waits for, and which loses the lease."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from truetape.broker.control_topic import ControlTopic
from truetape.host.calendars import session
from truetape.host.errors import LeaseLostError, TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.sessions import Session
from truetape.speed import fence
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords, ExitReport
from truetape.speed.driver import Driver
from truetape.speed.fence import clear_late_writes, wait_until_fenced
from truetape.speed.heartbeat import Phase
from truetape.speed.lease import Lease

pytestmark = pytest.mark.real

DAY = session(venues()["XNYS"], date(2026, 3, 5))
INSIDE = Span("XNYS", DAY.start_ns, DAY.end_ns)
NEXT_DAY = Span("XNYS", DAY.end_ns, DAY.end_ns + 1)


@pytest.fixture
def own(stack: Settings) -> Settings:
    """Settings of a layer that no other test knows."""
    return replace(stack, topic=f"trades-{secrets.token_hex(4)}", write_timeout_s=0.0)


@pytest.fixture
def records(own: Settings) -> Iterator[ControlRecords]:
    with ControlTopic(own.kafka) as control:
        yield ControlRecords(control, own.topic)


@pytest.fixture
def lease(own: Settings, records: ControlRecords) -> Iterator[Lease]:
    """This process as a driver that is at work."""
    taken = Lease.take(own, records, 0, lambda: 0)
    taken.beat(state=Phase.RUNNING)
    yield taken
    taken.close()


def waited(own: Settings, day: Session = DAY) -> list[str]:
    """Wait for the fence of a session; return what was said meanwhile."""
    said: list[str] = []
    wait_until_fenced(own, day, said.append)
    return said


def test_nobody_is_waited_for_where_no_driver_ran(own: Settings) -> None:
    assert waited(own) == []


@pytest.mark.parametrize("state", [Phase.STARTING, Phase.STOPPED, Phase.FAILED])
def test_a_driver_that_is_not_at_work_is_not_waited_for(
    own: Settings, lease: Lease, state: Phase
) -> None:
    """One that starts reads the fences before its first write."""
    lease.beat(state=state)

    assert waited(own) == []


def test_a_driver_that_keeps_to_the_fence_is_left_alone(own: Settings, lease: Lease) -> None:
    lease.beat(fences={"XNYS": DAY.end_ns})

    assert waited(own) == []
    lease.beat()


def test_a_driver_that_does_not_take_the_fence_stops_the_publication(
    own: Settings, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "FENCE_WAIT_S", 0.0)

    with pytest.raises(TransientError, match="did not obey the fence of XNYS"):
        waited(own)
    lease.beat()


def test_a_driver_that_is_silent_loses_the_lease(
    own: Settings, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be frozen with an old fence in hand; when it thaws, its check fails."""
    monkeypatch.setattr(fence, "ALIVE_S", 0.0)

    assert waited(own) == [f"{Driver.this()} is silent; taking the lease from it"]
    with pytest.raises(LeaseLostError):
        lease.beat()


def test_a_publication_puts_right_what_was_written_late(records: ControlRecords) -> None:
    word = ExitReport(3, Driver.this(), 75, "fenced", datetime.now(UTC), (INSIDE, NEXT_DAY))
    records.write_exit_report(word)

    clear_late_writes(records, DAY)

    assert records.refresh().exit_reports == [replace(word, late_writes=(NEXT_DAY,))]
