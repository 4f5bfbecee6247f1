"""Every table of the lake times every damage: readers and writers stop, and the runbook mends it.

A table has three commits here, of one row each. The last one replaces nothing.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable

from truetape.host.errors import ConfigError
from truetape.lake.delta import append_rows, open_or_none, open_table, read_rows, replace_rows
from truetape.lake.maintenance import compact_and_vacuum
from truetape.lake.schemas import SCHEMAS
from truetape.lake.tables import Table

COMMITS = 3
LOST = '{"commitInfo":{"operation":"LOST"}}\n'
"""What the runbook puts into a commit that is empty, cut or missing."""
ROOT = 0
NOBODY = 65_534


@dataclass(frozen=True, slots=True)
class Damage:
    """A way to break a table, what the message has of it, and how the runbook mends it.

    `rows`: how many of the three rows a reader gets after that. None: the table is made anew.
    """

    name: str
    break_table: Callable[[Path], None]
    message: str
    mend: Callable[[Path], None]
    rows: int | None

    def __str__(self) -> str:
        return self.name


def commit(table: Path, number: int) -> Path:
    return table / "_delta_log" / f"{number:020}.json"


def data_file(table: Path) -> Path:
    """Return the file of the newest row."""
    return max(table.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_checkpoint(table: Path) -> Path:
    DeltaTable(str(table)).create_checkpoint()
    (checkpoint,) = (table / "_delta_log").glob("*.checkpoint.parquet")
    return checkpoint


def mark_lost(number: int) -> Callable[[Path], None]:
    def mend(table: Path) -> None:
        commit(table, number).write_text(LOST)

    return mend


def drop_missing_files(table: Path) -> None:
    for path in table.rglob("*.parquet"):
        if path.stat().st_size <= 100:
            path.unlink()
    DeltaTable(str(table)).repair()


def remove_checkpoint(table: Path) -> None:
    (table / "_delta_log" / "_last_checkpoint").unlink()
    for checkpoint in (table / "_delta_log").glob("*.checkpoint.parquet"):
        checkpoint.unlink()


def move_away(table: Path) -> None:
    table.rename(table.with_name(f"{table.name}.away"))


NEWEST = COMMITS - 1
DAMAGES = [
    Damage("file missing", lambda t: data_file(t).unlink(), "No such file", drop_missing_files, 2),
    Damage("file cut", lambda t: cut(data_file(t)), "is damaged", drop_missing_files, 2),
    Damage("file empty", lambda t: empty(data_file(t)), "is damaged", drop_missing_files, 2),
    Damage(
        "newest commit empty", lambda t: empty(commit(t, NEWEST)), "is empty", mark_lost(NEWEST), 2
    ),
    Damage(
        "newest commit cut", lambda t: cut(commit(t, NEWEST)), "is damaged", mark_lost(NEWEST), 2
    ),
    Damage("older commit empty", lambda t: empty(commit(t, 1)), "is empty", mark_lost(1), 2),
    Damage("older commit cut", lambda t: cut(commit(t, 1)), "is damaged", mark_lost(1), 2),
    Damage("older commit missing", lambda t: commit(t, 1).unlink(), "is missing", mark_lost(1), 2),
    Damage("first commit empty", lambda t: empty(commit(t, 0)), "is empty", move_away, None),
    Damage("first commit missing", lambda t: commit(t, 0).unlink(), "is missing", move_away, None),
    Damage("checkpoint cut", lambda t: cut(make_checkpoint(t)), "is damaged", remove_checkpoint, 3),
    Damage(
        "checkpoint missing",
        lambda t: make_checkpoint(t).unlink(),
        "checkpoint",
        remove_checkpoint,
        3,
    ),
]


def row(table: Table) -> dict[str, object]:
    values = {
        "venue": "XNYS",
        "session": date(2026, 11, 20),
        "date": date(2026, 11, 20),
        "partition": 0,
        "topic": "trades",
    }
    return {name: value for name, value in values.items() if name in SCHEMAS[table].names}


def written(lake: Path, table: Table) -> Path:
    for _ in range(COMMITS):
        append_rows(str(lake), table, [row(table)])
    return lake / table


READERS: dict[str, Callable[[str, Table], object]] = {
    "rows": read_rows,
    "batches": lambda lake, table: list(
        open_table(lake, table).batches(SCHEMAS[table].names[:1], None)
    ),
    "select": lambda lake, table: open_table(lake, table).select(SCHEMAS[table].names[:1]),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
@pytest.mark.parametrize("table", Table, ids=str)
def test_a_damaged_table_is_named_with_its_damage_and_the_runbook_mends_it(
    tmp_path: Path, table: Table, damage: Damage
) -> None:
    """No reader takes a damaged table for one with fewer rows."""
    folder = written(tmp_path, table)
    damage.break_table(folder)

    for read in READERS.values():
        with pytest.raises(ConfigError) as raised:
            read(str(tmp_path), table)
        message = str(raised.value)
        assert message.startswith(f"{folder} is damaged: ")
        assert damage.message in message
        assert '"A damaged table of the lake" in docs/RUNBOOK.md' in message
        assert "\n" not in message

    damage.mend(folder)
    assert len(read_rows(str(tmp_path), table)) == (damage.rows or 0)
    append_rows(str(tmp_path), table, [row(table)])
    assert len(read_rows(str(tmp_path), table)) == (damage.rows or 0) + 1


def test_a_raw_without_its_log_is_damaged(tmp_path: Path) -> None:
    """Else the archive would begin a new table beside the old files."""
    shutil.rmtree(written(tmp_path, Table.RAW) / "_delta_log")

    with pytest.raises(ConfigError, match="data files and no log in"):
        read_rows(str(tmp_path), Table.RAW)


@pytest.mark.parametrize("table", [table for table in Table if table is not Table.RAW], ids=str)
def test_the_files_of_a_killed_first_write_are_no_damage(tmp_path: Path, table: Table) -> None:
    shutil.rmtree(written(tmp_path, table) / "_delta_log")

    assert read_rows(str(tmp_path), table) == []
    append_rows(str(tmp_path), table, [row(table)])
    assert len(read_rows(str(tmp_path), table)) == 1


@pytest.mark.parametrize("table", Table, ids=str)
def test_no_writer_hides_a_lost_commit_under_a_new_one(tmp_path: Path, table: Table) -> None:
    folder = written(tmp_path, table)
    empty(commit(folder, NEWEST))
    lake = str(tmp_path)

    for write in (
        lambda: append_rows(lake, table, [row(table)]),
        lambda: replace_rows(lake, table, [row(table)], "true"),
        lambda: compact_and_vacuum(lake, keep_h=168),
    ):
        with pytest.raises(ConfigError, match="is empty, so what it changed is lost"):
            write()

    assert not commit(folder, COMMITS).exists()


@pytest.mark.parametrize("table", [Table.TRADES, Table.BARS], ids=str)
def test_the_message_names_the_recompute_that_writes_a_lost_file_anew(
    tmp_path: Path, table: Table
) -> None:
    data_file(written(tmp_path, table)).unlink()

    with pytest.raises(ConfigError, match="truetape recompute --venue XNYS --session 2026-11-20"):
        read_rows(str(tmp_path), table)


@pytest.mark.parametrize("table", Table, ids=str)
def test_a_lake_behind_a_url_notices_an_empty_newest_commit(tmp_path: Path, table: Table) -> None:
    folder, lake = written(tmp_path, table), tmp_path.as_uri()
    assert len(read_rows(lake, table)) == COMMITS

    empty(commit(folder, NEWEST))

    with pytest.raises(ConfigError, match="its commit 2 is empty"):
        read_rows(lake, table)


@contextmanager
def without_rights(lake: Path) -> Iterator[None]:
    """Run the block as a user for whom rights count; pytest's own folders must let it through."""
    if os.geteuid() != ROOT:
        yield
        return
    for folder in (lake, *lake.parents):
        if folder.stat().st_mode & 0o5 != 0o5:
            folder.chmod(folder.stat().st_mode | 0o5)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(ROOT)


@pytest.mark.parametrize("part", ["", "_delta_log"], ids=["table", "log"])
@pytest.mark.parametrize("table", Table, ids=str)
def test_a_folder_that_may_not_be_read_is_named_with_the_user(
    tmp_path: Path, table: Table, part: str
) -> None:
    folder = written(tmp_path, table)
    (folder / part).chmod(0)
    try:
        with (
            without_rights(tmp_path),
            pytest.raises(ConfigError, match=r"permission denied for user \d+") as raised,
        ):
            open_or_none(str(tmp_path), table)
        assert str(folder) in str(raised.value)
    finally:
        (folder / part).chmod(0o755)


@pytest.mark.parametrize("table", Table, ids=str)
def test_a_folder_that_may_not_be_written_is_named_with_the_user(
    tmp_path: Path, table: Table
) -> None:
    tmp_path.chmod(0o555)
    try:
        with (
            without_rights(tmp_path),
            pytest.raises(ConfigError, match=r"permission denied for user \d+"),
        ):
            append_rows(str(tmp_path), table, [row(table)])
    finally:
        tmp_path.chmod(0o755)
