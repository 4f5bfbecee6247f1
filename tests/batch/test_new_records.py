"""New records for the archive, found on a real Kafka without Spark."""

from datetime import date
from pathlib import Path

import pytest

from support.loop import own_settings, send
from truetape.batch.jobs import archive_once
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.settings import Settings
from truetape.lake.coverage import has_new_records

pytestmark = pytest.mark.real

MADE = simulate(
    SimulationPlan(date(2026, 3, 3), seed=5, trades=60, offset_s=0, duration_s=30)
).records


def test_an_empty_topic_has_no_new_records(stack: Settings, tmp_path: Path) -> None:
    assert not has_new_records(own_settings(stack, tmp_path))


def test_records_are_new_until_an_archive_run_has_finished(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed before it has sent its dead letters has not finished."""
    own = own_settings(stack, tmp_path)
    send(own, MADE[:40])
    assert has_new_records(own)
    with monkeypatch.context() as patch:
        patch.setattr("truetape.batch.jobs.send_dead_letters", _killed)
        with pytest.raises(OSError, match="killed"):
            archive_once(own)
    assert has_new_records(own)

    archive_once(own)
    assert not has_new_records(own)

    send(own, MADE[40:])
    assert has_new_records(own)


def _killed(*_: object) -> int:
    raise OSError("killed")
