"""Drift of a revert has the cause revert; the publication that supersedes it has event causes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.build import cancel
from support.drifting import DAY, HOUR, SPEED, publish_and_record
from support.serving import own_buckets
from support.session_lake import FRIDAY, NOON, lake_session
from truetape.drift.attribution import Cause
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.drift.recorder import DriftRecorder
from truetape.host.venues import venues
from truetape.publish.publication import PublicationRequest, publish_target
from truetape.publish.revert import reconstruct
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import BarStore


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BarStore]:
    """An empty embedded store."""
    opened = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    opened.ensure_buckets()
    yield opened
    opened.close()


def revert(lake: str, store: BarStore, rev: int) -> None:
    """Restore an older rev and record its drift, as `revert_once` does after the fence."""
    target = reconstruct(lake, store, FRIDAY, rev)
    recorder = DriftRecorder(lake, store, venues()["XNYS"], FRIDAY, SPEED, Cause.REVERT)
    request = PublicationRequest(
        FRIDAY,
        "tests",
        "because",
        target.publication.as_of_ns,
        0.0,
        restores=rev,
        before_write=recorder.record_round,
    )
    recorder.finish(publish_target(lake, store, target, request, sleep=lambda _: None).rev)


def causes(lake: str, rev: int) -> dict[str, set[str]]:
    """Return the trades of each cause of a publication."""
    by_cause: dict[str, set[str]] = {}
    for entry in entries(lake, rev):
        for cause, trades in entry.causes.items():
            by_cause.setdefault(str(cause), set()).update(trades)
    return by_cause


def entries(lake: str, rev: int) -> list[BarDrift]:
    return DriftLedger(lake).of_session(FRIDAY, rev=rev)


def test_a_revert_is_recorded_and_a_superseding_publication_repeats_the_causes(
    lake: str, store: BarStore
) -> None:
    lake_session(DAY).write(lake)
    publish_and_record(lake, store)
    lake_session([*DAY, cancel("61", NOON + 2 * HOUR, symbol="IBM")]).write(lake)
    publish_and_record(lake, store, as_of_ns=NOON + 3 * HOUR)

    revert(lake, store, 1)
    publish_and_record(lake, store, as_of_ns=NOON + 4 * HOUR)

    assert causes(lake, 2) == {"cancel": {"61"}}
    assert causes(lake, 3) == {"revert": set()}
    assert causes(lake, 4) == {"cancel": {"61"}}
    keys = [{entry.key for entry in entries(lake, rev)} for rev in (2, 3, 4)]
    assert keys[0] == keys[1] == keys[2]
