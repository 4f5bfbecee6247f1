"""Publishing, reverting and the audit, on a real Kafka and an embedded store."""

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
from truetape.lake.bars_lineage import RecomputeBasis
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


def test_the_fence_is_in_the_store_before_the_bars_are_final(
    stack: Settings, tmp_path: Path
) -> None:
    """Roll-ups in the database read the fence there. The boundary moves after the last write."""
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    before = announced_boundary(own)

    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))

    after, five = announced_boundary(own), Resolution.FIVE_MINUTES
    with closing(open_store(own)) as store:
        points = [
            point.fields
            for point in store.read_points("boundary", 0, 2**62)
            if point.tags == {"resolution": "5m", "venue": FRIDAY.venue}
        ]
    assert after.fence_ns >= FRIDAY.end_ns
    assert [point["fence_ns"] for point in points] == [after.fence_ns] * 2
    assert [point["final_ns"] for point in points] == [
        before.final_for(five),
        after.final_for(five),
    ]


def announced_boundary(own: Settings) -> Boundary:
    """Return the venue's boundary in the shared Kafka; other tests may have moved it."""
    with ControlTopic(own.kafka) as control:
        return control.refresh().boundary(FRIDAY.venue)


def test_the_audit_writes_reverted_rows_again(stack: Settings, tmp_path: Path) -> None:
    """It writes them once, under a new rev, and only for sessions of the last days."""
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))
    with closing(open_store(own)) as store:
        before = list(store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
        store.write(
            Resolution.MINUTE, [replace(before[0], close=1.0), replace(before[1], final=False)]
        )

    too_old = audit_served(own, FRIDAY.date + timedelta(days=8))
    first = audit_served(own, FRIDAY.date + timedelta(days=7))
    second = audit_served(own, FRIDAY.date)

    assert too_old == []
    assert first == [AuditedSession(FRIDAY.venue, FRIDAY.date, 2)]
    assert second == [AuditedSession(FRIDAY.venue, FRIDAY.date, 0)]
    with closing(open_store(own)) as store:
        after = list(store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
    assert after == [replace(row, rev=2) if row in before[:2] else row for row in before]
    assert [publication.reason for publication in publications(own.lake, FRIDAY)] == [
        "without the gate: because", f"without the gate: {REASON}",
    ]  # fmt: skip


def test_the_audit_only_compares_a_session_that_a_revert_holds(
    stack: Settings, tmp_path: Path
) -> None:
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))
    revert_once(own, FRIDAY, 1, "tests", "to hold the session")
    with closing(open_store(own)) as store:
        rows = list(store.read(Resolution.MINUTE, FRIDAY.start_ns, FRIDAY.end_ns))
        store.write(Resolution.MINUTE, [replace(rows[0], close=1.0)])

    with pytest.raises(VerificationError):
        audit_served(own, FRIDAY.date)


def test_the_audit_skips_a_session_that_was_recomputed_since(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_settings(stack, tmp_path, store="embedded")
    lake_session(QUIET).write(own.lake)
    publish_once(own, FRIDAY, "tests", "because", options=PublishOptions(gated=False))
    later = RecomputeBasis("raw", 1, 99, None, 99)
    monkeypatch.setattr(audit, "recompute_bases", lambda *_: [later])

    assert audit_served(own, FRIDAY.date) == []
