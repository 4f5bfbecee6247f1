"""The SQLite store where its file may not be written: each refusal has its place and exit code."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.serving import bars, own_buckets
from support.small_disk import small_disk
from truetape.host.errors import ConfigError, TransientError
from truetape.market.resolution import Resolution
from truetape.serving.embedded import EmbeddedStore

MINUTE = Resolution.MINUTE
NOBODY = 65_534


def store_at(path: Path) -> EmbeddedStore:
    return EmbeddedStore(path, own_buckets("history"))


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Run the block as a user for whom rights count, even if root runs the tests."""
    if os.geteuid():
        yield
        return
    for part in folder.parents:
        if part.stat().st_mode & 0o5 != 0o5:
            part.chmod(part.stat().st_mode | 0o5)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_full_disk_is_named_and_the_rows_are_written_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        path = disk.path / "bars.sqlite"
        with closing(store_at(path)) as store:
            store.write(MINUTE, bars(10))
            disk.fill()
            with pytest.raises(TransientError, match=f"the disk of {path} is full") as raised:
                store.write(MINUTE, bars(3_000))
            assert '"Disk" in docs/RUNBOOK.md' in str(raised.value)

            disk.make_room()
            assert store.write(MINUTE, bars(3_000)).stored == 3_000


def test_a_new_file_on_a_full_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        disk.fill()

        with pytest.raises(TransientError, match=f"the disk of {disk.path}.* is full"):
            store_at(disk.path / "home" / "bars.sqlite")


def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        store_at(disk.path / "bars.sqlite").close()
        disk.remount(writable=False)
        try:
            with pytest.raises(ConfigError, match=r"bars.sqlite.*docs/RUNBOOK.md"):
                store_at(disk.path / "bars.sqlite").write(MINUTE, bars(1))
            with pytest.raises(ConfigError, match="read-only"):
                store_at(disk.path / "home" / "bars.sqlite")
        finally:
            disk.remount(writable=True)


@pytest.mark.parametrize("mode", [0o000, 0o555], ids=["unreadable", "not writable"])
def test_a_folder_without_rights_is_named_with_the_user(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(mode)
    try:
        with (
            without_rights(folder),
            pytest.raises(ConfigError, match=r"permission denied for user \d+"),
        ):
            store_at(folder / "bars.sqlite")
    finally:
        folder.chmod(0o755)
