"""Publication and revert as one call, on a real Kafka and an embedded store."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from support.drifting import QUIET
from support.loop import own_settings
from support.session_lake import FRIDAY, lake_session
from truetape.broker.boundary import Boundary
from truetape.broker.control_topic import ControlTopic
from truetape.host.errors import VerificationError
from truetape.host.settings import Settings
from truetape.lake.bars_lineage import Basis
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.pipeline import audit
from truetape.pipeline.audit import REASON, AuditedSession, audit_served
from truetape.pipeline.publish import (
    PublishOptions,
    publish_once,
    revert_once,
)
from truetape.serving.backends import open_store

pytestmark = pytest.mark.real


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
