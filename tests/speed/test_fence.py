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
    """Settings of a layer that no other test uses."""
    return replace(stack, topic=f"trades-{secrets.token_hex(4)}", write_timeout_s=0.0)


@pytest.fixture
def records(own: Settings) -> Iterator[ControlRecords]:
    with ControlTopic(own.kafka) as control:
        yield ControlRecords(control, own.topic)


@pytest.fixture
def lease(own: Settings, records: ControlRecords) -> Iterator[Lease]:
    """This process as a working driver."""
    taken = Lease.take(own, records, 0)
    taken.beat(state=Phase.RUNNING)
    yield taken
    taken.close()


def wait_messages(own: Settings, day: Session = DAY) -> list[str]:
    """Wait for the fence of a session; return the progress messages."""
    messages: list[str] = []
    wait_until_fenced(own, day, messages.append)
    return messages


def test_a_publication_does_not_wait_if_no_driver_ran(own: Settings) -> None:
    assert wait_messages(own) == []


@pytest.mark.parametrize("state", [Phase.STARTING, Phase.STOPPED, Phase.FAILED])
def test_a_publication_does_not_wait_for_a_driver_that_writes_nothing(
    own: Settings, lease: Lease, state: Phase
) -> None:
    """A starting driver reads the fences before its first write."""
    lease.beat(state=state)

    assert wait_messages(own) == []


def test_a_driver_that_obeys_the_fence_keeps_the_lease(own: Settings, lease: Lease) -> None:
    lease.beat(fences={"XNYS": DAY.end_ns})

    assert wait_messages(own) == []
    lease.beat()


def test_a_driver_that_does_not_obey_the_fence_stops_the_publication(
    own: Settings, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "FENCE_WAIT_S", 0.0)

    with pytest.raises(TransientError, match="did not obey the fence of XNYS"):
        wait_messages(own)
    lease.beat()


def test_a_silent_driver_loses_the_lease(
    own: Settings, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be frozen with an old fence; when it thaws, its check of the lease fails."""
    monkeypatch.setattr(fence, "ALIVE_S", 0.0)

    assert wait_messages(own) == [f"{Driver.this()} is silent; taking the lease from it"]
    with pytest.raises(LeaseLostError):
        lease.beat()


def test_a_publication_clears_its_bars_from_exit_reports(records: ControlRecords) -> None:
    report = ExitReport(3, Driver.this(), 75, "fenced", datetime.now(UTC), (INSIDE, NEXT_DAY))
    records.write_exit_report(report)

    clear_late_writes(records, DAY)

    assert records.refresh().exit_reports == [replace(report, late_writes=(NEXT_DAY,))]
