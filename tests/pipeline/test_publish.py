"""Publication beside a running speed layer, on a real Kafka: who is waited for, who is fenced."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from support.drifting import QUIET
from support.loop import own_settings
from support.session_lake import FRIDAY, lake_session
from truetape.broker.boundary import Boundary
from truetape.broker.control_topic import ControlTopic
from truetape.host.calendars import session
from truetape.host.errors import LeaseLostError, TransientError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.bars import publications
from truetape.lake.bars_lineage import Basis
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.pipeline import audit, publish
from truetape.pipeline.audit import REASON, AuditedSession, audit_served
from truetape.pipeline.publish import (
    PublishOptions,
    forget_late_writes,
    publish_once,
    revert_once,
    wait_for_fence,
)
from truetape.serving.backends import open_store
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import Board
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Phase
from truetape.speed.lease import Lease
from truetape.speed.takeover import Ended

pytestmark = pytest.mark.real

DAY = session(venues()["XNYS"], date(2026, 3, 5))
INSIDE = Span("XNYS", DAY.start_ns, DAY.end_ns)
NEXT_DAY = Span("XNYS", DAY.end_ns, DAY.end_ns + 1)


@pytest.fixture
def own(stack: Settings) -> Settings:
    """Settings of a layer that no other test knows."""
    return replace(stack, topic=f"trades-{secrets.token_hex(4)}", write_timeout_s=0.0)


@pytest.fixture
def board(own: Settings) -> Iterator[Board]:
    with ControlTopic(own.kafka) as control:
        yield Board(control, own.topic)


@pytest.fixture
def lease(own: Settings, board: Board) -> Iterator[Lease]:
    """This process as a driver that is at work."""
    taken = Lease.take(own, board, 0, lambda: 0)
    taken.beat(state=Phase.RUNNING)
    yield taken
    taken.close()


def waited(own: Settings, day: Session = DAY) -> list[str]:
    """Wait for the fence of a session; return what was said meanwhile."""
    said: list[str] = []
    wait_for_fence(own, day, said.append)
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
    monkeypatch.setattr(publish, "FENCE_WAIT_S", 0.0)

    with pytest.raises(TransientError, match="did not take the fence of XNYS"):
        waited(own)
    lease.beat()


def test_a_driver_that_is_silent_loses_the_lease(
    own: Settings, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be frozen with an old fence in hand; when it thaws, its check fails."""
    monkeypatch.setattr(publish, "ALIVE_S", 0.0)

    assert waited(own) == [f"{Driver.this()} is silent; taking the lease from it"]
    with pytest.raises(LeaseLostError):
        lease.beat()


def test_a_publication_puts_right_what_was_written_late(board: Board) -> None:
    word = Ended(3, Driver.this(), 75, "fenced", datetime.now(UTC), (INSIDE, NEXT_DAY))
    board.say(word)

    forget_late_writes(board, DAY)

    assert board.refresh().ends == [replace(word, touched=(NEXT_DAY,))]


def test_the_store_knows_the_fence_before_the_bars_are_final(
    stack: Settings, tmp_path: Path
) -> None:
    """Roll-ups in the database read it there; the boundary follows when all is served."""
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    before = known_of(own)

    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))

    after, five = known_of(own), Resolution.FIVE_MINUTES
    with closing(open_store(own)) as store:
        told = [
            point.fields
            for point in store.read_points("boundary", 0, 2**62)
            if point.tags == {"resolution": "5m", "venue": FRIDAY.venue}
        ]
    assert after.fence_ns >= FRIDAY.end_ns
    assert [one["fence_ns"] for one in told] == [after.fence_ns] * 2
    assert [one["final_ns"] for one in told] == [before.final_for(five), after.final_for(five)]


def known_of(own: Settings) -> Boundary:
    """The boundary that the run's Kafka knows, also from other tests."""
    with ControlTopic(own.kafka) as control:
        return control.refresh().boundary(FRIDAY.venue)


def test_rows_that_came_back_as_they_were_are_served_again(stack: Settings, tmp_path: Path) -> None:
    """Once, as a rev of their own; and only of sessions of the last days."""
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))
    with closing(open_store(own)) as store:
        before = list(store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
        store.write(
            Resolution.MINUTE, [replace(before[0], close=1.0), replace(before[1], final=False)]
        )

    late = audit_served(own, FRIDAY.date + timedelta(days=8))
    found = audit_served(own, FRIDAY.date + timedelta(days=7))
    again = audit_served(own, FRIDAY.date)

    assert late == []
    assert found == [AuditedSession(FRIDAY.venue, FRIDAY.date, 2)]
    assert again == [AuditedSession(FRIDAY.venue, FRIDAY.date, 0)]
    with closing(open_store(own)) as store:
        after = list(store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
    assert after == [replace(row, rev=2) if row in before[:2] else row for row in before]
    assert [one.reason for one in publications(own.lake, FRIDAY)] == [
        "without the gate: because", f"without the gate: {REASON}",
    ]  # fmt: skip


def test_a_session_that_is_held_is_compared_and_told(stack: Settings, tmp_path: Path) -> None:
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))
    revert_once(own, FRIDAY, 1, "tests", "to hold it")
    with closing(open_store(own)) as store:
        rows = list(store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
        store.write(Resolution.MINUTE, [replace(rows[0], close=1.0)])

    with pytest.raises(VerificationError):
        audit_served(own, FRIDAY.date)


def test_a_session_that_was_recomputed_since_waits_for_its_own_publication(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))
    monkeypatch.setattr(audit, "bases", lambda *_: [Basis("raw", 1, 99, None, 99)])

    assert audit_served(own, FRIDAY.date) == []
