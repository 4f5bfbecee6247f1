"""Damage in Spark's checkpoints: which file is named, what for, and with which cure."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.speed.checkpoint import (
    Damage,
    Role,
    damage_in,
    damage_of,
    last_committed,
    offsets_of,
    watermark_of,
)
from truetape.speed.progress import CURES, checkpoint_for, require_whole_checkpoint

OFFSETS = 'v1\n{"batchWatermarkMs":0,"conf":{}}\n{"trades":{"0":%d,"1":7}}'
COMMIT = 'v1\n{"nextBatchWatermarkMs":0}'


def write_changes(path: Path) -> None:
    """Write changes of state as Spark does: blocks of LZ4, the last one empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = (b"x" * 90, b"y" * 40, b"")
    path.write_bytes(
        b"".join(
            b"LZ4Block\x15" + struct.pack("<III", len(block), len(block), 7) + block
            for block in blocks
        )
    )


def fill(folder: Path, committed: int = 3, planned: int = 4) -> Path:
    """Write a checkpoint as Spark leaves it: batches to `committed`, and then a planned one."""
    for name in ("offsets", "commits"):
        (folder / name).mkdir(parents=True)
    (folder / "metadata").write_text('{"id":"5d0c1a2e"}')
    for batch in range(planned + 1):
        (folder / "offsets" / str(batch)).write_text(OFFSETS % (10 * batch))
    for batch in range(committed + 1):
        (folder / "commits" / str(batch)).write_text(COMMIT)
    for version in range(1, committed + 2):
        write_changes(folder / "state" / "0" / "0" / f"{version}.changelog")
    return folder


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def foreign(path: Path) -> None:
    path.write_text('v1\n["another"]\n[]')


WAYS = [empty, cut, last_byte, zeros, foreign]


def test_a_whole_checkpoint_has_no_damage(tmp_path: Path) -> None:
    assert damage_of(fill(tmp_path / "ck")) is None
    assert damage_of(tmp_path / "never written") is None
    assert last_committed(tmp_path / "ck") == 3
    assert offsets_of(tmp_path / "ck", 3, "trades") == {"0": 30, "1": 7}


@pytest.mark.parametrize("damage", WAYS)
@pytest.mark.parametrize(
    ("file", "role"),
    [
        ("metadata", Role.OTHER),
        ("offsets/4", Role.PLAN),
        ("offsets/3", Role.OTHER),
    ],
)
def test_a_damaged_file_of_the_log_is_named(
    file: str, role: Role, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = fill(tmp_path / "ck")
    damage(folder / file)

    found = damage_of(folder)

    assert found is not None
    assert (found.file, found.role) == (folder / file, role)


@pytest.mark.parametrize("damage", WAYS)
@pytest.mark.parametrize(
    ("planned", "role"), [(3, Role.COMMIT), (4, Role.OTHER)], ids=["idle", "in a batch"]
)
def test_a_damaged_commit_may_be_removed_unless_the_next_batch_is_planned(
    planned: int, role: Role, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = fill(tmp_path / "ck", planned=planned)
    damage(folder / "commits" / "3")

    found = damage_of(folder)

    assert found is not None
    assert (found.file, found.role) == (folder / "commits" / "3", role)


@pytest.mark.parametrize("file", ["offsets/2", "commits/2"])
def test_damage_that_spark_never_reads_stops_nothing(file: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "ck")
    empty(folder / file)

    assert damage_of(folder) is None


def test_between_two_batches_the_two_newest_plans_are_read(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ck", planned=3)
    empty(folder / "offsets" / "1")
    assert damage_of(folder) is None
    empty(folder / "offsets" / "2")

    assert damage_of(folder) == Damage(folder / "offsets" / "2", "it is empty")


def test_missing_offsets_of_a_committed_batch_are_damage(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ck", planned=3)
    (folder / "offsets" / "3").unlink()

    assert damage_of(folder) == Damage(
        folder / "offsets" / "3", "it is missing, and its batch committed"
    )


@pytest.mark.parametrize("damage", [empty, cut, last_byte, zeros])
def test_damaged_state_is_named(damage: Callable[[Path], None], tmp_path: Path) -> None:
    folder = fill(tmp_path / "ck")
    damage(folder / "state" / "0" / "0" / "4.changelog")

    found = damage_of(folder)

    assert found is not None
    assert (found.file, found.role) == (folder / "state/0/0/4.changelog", Role.OTHER)


def test_state_that_is_not_loaded_stops_nothing(tmp_path: Path) -> None:
    """Changes before a snapshot, and those of a batch that is not committed."""
    folder = fill(tmp_path / "ck")
    store = folder / "state" / "0" / "0"
    (store / "3.zip").write_bytes(b"a snapshot")
    for version in (1, 2, 3, 5):
        empty(store / f"{version}.changelog")

    assert damage_of(folder) is None


def test_a_cut_of_state_is_seen_at_every_length(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ck")
    changes = folder / "state" / "0" / "0" / "4.changelog"
    whole = changes.read_bytes()
    for length in range(len(whole)):
        changes.write_bytes(whole[:length])
        assert damage_of(folder) is not None, f"cut to {length} bytes"


@pytest.mark.parametrize(
    ("file", "planned", "cure"),
    [
        ("offsets/4", 4, CURES[Role.PLAN]),
        ("commits/3", 3, CURES[Role.COMMIT]),
        ("metadata", 3, CURES[Role.OTHER]),
    ],
)
def test_the_speed_layer_says_what_to_do(
    file: str, planned: int, cure: str, settings: Settings
) -> None:
    folder = fill(checkpoint_for(settings), planned=planned)
    empty(folder / file)

    with pytest.raises(ConfigError) as error:
        require_whole_checkpoint(settings)

    assert str(error.value) == (
        f'{folder / file} is damaged: it is empty; {cure}; see "Damaged checkpoint" in '
        "docs/RUNBOOK.md"
    )


@pytest.mark.parametrize("damage", [*WAYS, Path.unlink])
def test_a_watermark_is_not_read_from_a_damaged_commit(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = fill(tmp_path / "ck")
    damage(folder / "commits" / "3")

    with pytest.raises(ConfigError, match=f"{folder / 'commits' / '3'} is damaged"):
        watermark_of(folder, 3)


def test_offsets_of_another_topic_are_damage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no offsets of quotes"):
        offsets_of(fill(tmp_path / "ck"), 3, "quotes")


def test_an_error_of_spark_about_a_file_that_it_cannot_read_names_it(tmp_path: Path) -> None:
    text = (
        f"[CANNOT_LOAD_STATE_STORE.CANNOT_READ_DELTA_FILE_NOT_EXISTS] … delta file "
        f"file:{tmp_path}/state/0/1/7.delta does not exist. SQLSTATE: 58030"
    )

    assert damage_in(text, tmp_path) == Damage(
        tmp_path / "state/0/1/7.delta", "Spark cannot read it"
    )


@pytest.mark.parametrize(
    "text",
    [
        "java.io.IOException: No space left on device: {folder}/offsets/4",
        "Some data may have been lost: partition trades-1",
        "Incomplete log file in /another/folder/offsets/3",
    ],
)
def test_other_errors_of_spark_are_not_damage(text: str, tmp_path: Path) -> None:
    assert damage_in(text.format(folder=tmp_path), tmp_path) is None
