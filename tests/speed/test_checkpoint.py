"""The checkpoint: one folder for each plan, and how far it got, as Spark writes it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.speed.progress import (
    CLOCK_NOISE,
    checkpoint_for,
    committed_offsets,
    first_batch,
    require_watermark,
    watermark,
)

METADATA = '{"batchWatermarkMs":0,"batchTimestampMs":1,"conf":{}}'


def write_batch(folder: Path, batch: int, offsets: str, *, is_done: bool = True) -> None:
    for name in ("offsets", "commits"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "offsets" / str(batch)).write_text(f"v1\n{METADATA}\n{offsets}")
    if is_done:
        (folder / "commits" / str(batch)).write_text('v1\n{"nextBatchWatermarkMs":0}')


def test_the_same_plan_gets_the_same_folder(settings: Settings) -> None:
    folder = checkpoint_for(settings)

    assert checkpoint_for(settings) == folder
    assert folder.name == "speed-trades-sip"


def test_another_plan_is_refused(settings: Settings) -> None:
    checkpoint_for(settings)

    with pytest.raises(ConfigError, match="speed-trades-sip was written for"):
        checkpoint_for(replace(settings, speed_lateness_s=61))


NOW = datetime(2026, 3, 5, 15, 0, tzinfo=UTC)


def commit(folder: Path, batch: int, watermark: datetime) -> None:
    (folder / "commits").mkdir(parents=True, exist_ok=True)
    metadata = {"nextBatchWatermarkMs": int(watermark.timestamp() * 1_000)}
    (folder / "commits" / str(batch)).write_text(f"v1\n{json.dumps(metadata)}")


def test_a_new_checkpoint_has_no_watermark(tmp_path: Path) -> None:
    require_watermark(tmp_path / "missing", NOW)

    assert watermark(tmp_path / "missing") == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_watermark_beyond_the_clock_is_refused(tmp_path: Path) -> None:
    """One record of 2098 could move the watermark in earlier versions."""
    commit(tmp_path, 9, NOW - timedelta(minutes=1))
    commit(tmp_path, 10, datetime(2098, 1, 2, 14, 59, tzinfo=UTC))

    with pytest.raises(ConfigError) as error:
        require_watermark(tmp_path, NOW)

    assert "the watermark 2098-01-02T14:59:00Z, but it is 2026-03-05T15:00:00Z" in str(error.value)
    assert '"Watermark beyond the clock" in docs/RUNBOOK.md' in str(error.value)


def test_a_watermark_within_the_noise_of_two_clocks_is_accepted(tmp_path: Path) -> None:
    commit(tmp_path, 10, NOW + CLOCK_NOISE)

    require_watermark(tmp_path, NOW)
    with pytest.raises(ConfigError):
        require_watermark(tmp_path, NOW - timedelta(milliseconds=1))


def test_there_are_no_offsets_before_the_first_batch_is_committed(tmp_path: Path) -> None:
    write_batch(tmp_path, 0, '{"trades":{"0":5}}', is_done=False)

    assert first_batch(tmp_path) == 0
    assert committed_offsets(tmp_path, "trades") == {}
    assert committed_offsets(tmp_path / "missing", "trades") == {}


def test_the_offsets_of_the_newest_committed_batch_count(tmp_path: Path) -> None:
    write_batch(tmp_path, 9, '{"trades":{"0":5,"1":2}}')
    write_batch(tmp_path, 10, '{"trades":{"0":8,"1":2}}')
    write_batch(tmp_path, 11, '{"trades":{"0":9,"1":4}}', is_done=False)

    assert first_batch(tmp_path) == 11
    assert committed_offsets(tmp_path, "trades") == {"0": 8, "1": 2}
