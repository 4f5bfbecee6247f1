"""A recompute of a damaged lake: it stops with one line, or mends what it replaces."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from support.session_lake import FRIDAY, good_events, lake_session
from support.small_disk import SmallDisk, small_disk
from truetape.batch.jobs import recompute_once
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.lake.bars import read_session_bars
from truetape.lake.tables import Table

COMMITS = 3


@dataclass(frozen=True, slots=True)
class Damage:
    name: str
    apply: Callable[[Path], None]

    def __str__(self) -> str:
        return self.name


def data_files(table: Path) -> list[Path]:
    uris = DeltaTable(str(table)).file_uris()
    return [Path(uri.removeprefix("file://")) for uri in uris]


def rewrite(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def damage_files(size: int) -> Callable[[Path], None]:
    def apply(table: Path) -> None:
        for path in data_files(table):
            rewrite(path, size)

    return apply


def remove_files(table: Path) -> None:
    for path in data_files(table):
        path.unlink()


def damage_commit(number: int, size: int) -> Callable[[Path], None]:
    return lambda table: rewrite(table / "_delta_log" / f"{number:020}.json", size)


def remove_commit(table: Path) -> None:
    (table / "_delta_log" / f"{1:020}.json").unlink()


FILES = [
    Damage("files missing", remove_files),
    Damage("files cut", damage_files(200)),
    Damage("files empty", damage_files(0)),
]
LOG = [
    Damage("newest commit empty", damage_commit(COMMITS - 1, 0)),
    Damage("newest commit cut", damage_commit(COMMITS - 1, 100)),
    Damage("older commit empty", damage_commit(1, 0)),
    Damage("older commit missing", remove_commit),
    Damage("log missing", lambda table: shutil.rmtree(table / "_delta_log")),
]


@pytest.fixture(params=["local", pytest.param("spark", marks=pytest.mark.spark)])
def own(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A lake in which each table has three commits, and either engine."""
    made = replace(settings, lake=str(tmp_path / "lake"), profile="sip", batch_engine=request.param)
    if request.param == "spark":
        request.getfixturevalue("spark")
    for _ in range(COMMITS):
        lake_session(good_events()).write(made.lake)
    return made


@pytest.mark.parametrize("damage", [*FILES, *LOG], ids=str)
def test_a_recompute_stops_at_a_damaged_raw(own: Settings, damage: Damage) -> None:
    damage.apply(Path(own.lake) / Table.RAW)

    with pytest.raises(ConfigError) as raised:
        recompute_once(own, FRIDAY)

    assert f"{own.lake}/raw is damaged: " in str(raised.value)
    assert '"A damaged table of the lake" in docs/RUNBOOK.md' in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("damage", FILES, ids=str)
@pytest.mark.parametrize("table", [Table.TRADES, Table.BARS], ids=str)
def test_a_recompute_writes_the_damaged_files_of_its_session_anew(
    own: Settings, table: Table, damage: Damage
) -> None:
    before = read_session_bars(own.lake, FRIDAY).digest()
    damage.apply(Path(own.lake) / table)

    recompute_once(own, FRIDAY)

    assert read_session_bars(own.lake, FRIDAY).digest() == before


@pytest.mark.parametrize("damage", LOG[:-1], ids=str)
@pytest.mark.parametrize("table", [Table.TRADES, Table.BARS], ids=str)
def test_a_recompute_hides_no_lost_commit_under_a_new_one(
    own: Settings, table: Table, damage: Damage
) -> None:
    damage.apply(Path(own.lake) / table)

    with pytest.raises(ConfigError, match=f"/{table} is damaged: "):
        recompute_once(own, FRIDAY)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 8) as made:
        yield made


@pytest.fixture
def on_disk(own: Settings, disk: SmallDisk) -> Settings:
    shutil.copytree(own.lake, disk.path / "lake")
    return replace(own, lake=str(disk.path / "lake"))


def test_a_recompute_on_a_full_disk_changes_nothing_and_works_once_there_is_room(
    on_disk: Settings, disk: SmallDisk
) -> None:
    before = read_session_bars(on_disk.lake, FRIDAY).digest()
    disk.fill()

    with pytest.raises(TransientError, match=f"the disk of {disk.path}.* is full") as raised:
        recompute_once(on_disk, FRIDAY)

    assert "\n" not in str(raised.value)
    assert read_session_bars(on_disk.lake, FRIDAY).digest() == before
    disk.make_room()
    recompute_once(on_disk, FRIDAY)
    assert read_session_bars(on_disk.lake, FRIDAY).digest() == before


def test_a_recompute_on_a_read_only_disk_says_so(on_disk: Settings, disk: SmallDisk) -> None:
    disk.remount(writable=False)
    try:
        with pytest.raises(ConfigError, match="is read-only"):
            recompute_once(on_disk, FRIDAY)
    finally:
        disk.remount(writable=True)
