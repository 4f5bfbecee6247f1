"""Maintenance changes the files of the lake, never the rows of its tables."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow
from deltalake import DeltaTable, write_deltalake

from truetape.lake.maintenance import compact_and_vacuum


def put(lake: Path, *values: int) -> None:
    """Append one small file for each value to the table `raw`."""
    for value in values:
        rows = pyarrow.table({"offset": [value], "date": ["2026-11-20"]})
        write_deltalake(str(lake / "raw"), rows, mode="append", partition_by=["date"])


def offsets(lake: Path) -> list[int]:
    """Return the rows of the table."""
    return sorted(DeltaTable(str(lake / "raw")).to_pyarrow_table()["offset"].to_pylist())


def files(lake: Path) -> int:
    """Count the data files on disk."""
    return len(list((lake / "raw").rglob("*.parquet")))


def age(lake: Path, hours: int) -> None:
    """Move the time at which each file was replaced into the past."""
    then = int((datetime.now(UTC) - timedelta(hours=hours)).timestamp() * 1000)
    for commit in (lake / "raw" / "_delta_log").glob("*.json"):
        aged = re.sub(r'"deletionTimestamp":\d+', f'"deletionTimestamp":{then}', commit.read_text())
        commit.write_text(aged)


def test_small_files_are_merged_and_the_rows_stay(tmp_path: Path) -> None:
    put(tmp_path, *range(12))

    [done] = compact_and_vacuum(str(tmp_path), keep_h=168)

    assert (done.table, done.merged, done.written) == ("raw", 12, 1)
    assert offsets(tmp_path) == list(range(12))


def test_replaced_files_stay_for_readers_of_older_versions(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    before = DeltaTable(str(tmp_path / "raw")).version()

    [done] = compact_and_vacuum(str(tmp_path), keep_h=168)

    assert done.removed == 0
    older = DeltaTable(str(tmp_path / "raw"), version=before)
    assert sorted(older.to_pyarrow_table()["offset"].to_pylist()) == [1, 2]


def test_files_that_were_replaced_long_ago_are_deleted(tmp_path: Path) -> None:
    put(tmp_path, 1, 2, 3)
    compact_and_vacuum(str(tmp_path), keep_h=168)
    age(tmp_path, hours=169)

    [done] = compact_and_vacuum(str(tmp_path), keep_h=168)

    assert done.removed == 3
    assert files(tmp_path) == 1
    assert offsets(tmp_path) == [1, 2, 3]


def test_a_compacted_lake_is_not_changed(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    compact_and_vacuum(str(tmp_path), keep_h=168)
    before = DeltaTable(str(tmp_path / "raw")).file_uris()

    [done] = compact_and_vacuum(str(tmp_path), keep_h=168)

    assert (done.merged, done.written, done.removed) == (0, 0, 0)
    assert DeltaTable(str(tmp_path / "raw")).file_uris() == before


def test_a_lake_without_tables_is_no_error(tmp_path: Path) -> None:
    assert compact_and_vacuum(str(tmp_path / "nothing"), keep_h=168) == []


def test_old_files_of_a_writer_that_died_are_deleted_and_young_ones_stay(tmp_path: Path) -> None:
    put(tmp_path, 1)
    old, young = (tmp_path / "raw" / f"date=2026-11-20/{name}.parquet" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half a file")
    then = (datetime.now(UTC) - timedelta(hours=169)).timestamp()
    os.utime(old, (then, then))

    [done] = compact_and_vacuum(str(tmp_path), keep_h=168)

    assert (done.removed, old.exists(), young.exists()) == (1, False, True)
    assert offsets(tmp_path) == [1]
