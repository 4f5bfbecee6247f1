"""The checkpoint: one folder for each plan, and how far it got, as Spark writes it."""

from dataclasses import replace
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.speed.progress import checkpoint_for, committed_offsets, first_batch

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
