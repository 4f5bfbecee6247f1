"""Data files: rows come back by partitions and bounds; what fails leaves no file."""

import json
import pickle
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from support.build import NOON
from truetape.host.errors import ConfigError, TransientError
from truetape.lake import data_files
from truetape.lake.delta import TablePart, ensure_table, new_files, open_table
from truetape.lake.schemas import RAW
from truetape.lake.tables import Table

DAYS = (date(2026, 11, 19), date(2026, 11, 20), None)
COLUMNS = ["partition", "date", "offset", "value"]


@pytest.fixture(params=["folder", "URL"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A lake with an empty `raw`: a folder, and the same one by its URL."""
    root = f"{'file://' if request.param == 'URL' else ''}{tmp_path}/lake"
    ensure_table(root, Table.RAW)
    return root


def raw(offsets: Iterable[int]) -> pa.Table:
    """Return records of two partitions and three dates, one of them unknown."""
    return pa.Table.from_pylist(list(map(record, offsets)), schema=RAW)


def record(offset: int) -> dict[str, Any]:
    day = DAYS[offset % 3]
    return {
        "topic": "trades", "partition": offset % 2, "offset": offset, "record_ms": offset,
        "value": b"%d" % offset, "feed": "truetape", "date": day, "amends": False,
        "first_event_ns": None if day is None else NOON + offset,
        "last_event_ns": None if day is None else NOON + offset,
        "accepted": 0, "rejections": 0, "events": [], "rejected": [],
    }  # fmt: skip


def written(lake: str, *tables: pa.Table) -> list[data_files.DataFile]:
    with new_files(lake, Table.RAW) as writer:
        for table in tables:
            writer.write(table)
        return writer.finish()


def rows(lake: str) -> list[dict[str, Any]]:
    found = open_table(lake, Table.RAW).rows(columns=COLUMNS)
    return sorted(found.to_pylist(), key=lambda row: row["offset"])


def on_disk(lake: str) -> list[Path]:
    return list(Path(lake.removeprefix("file://")).rglob("*.parquet"))


def expected(offsets: Iterable[int]) -> list[dict[str, Any]]:
    return [{name: record(offset)[name] for name in COLUMNS} for offset in offsets]


def test_rows_come_back_with_the_values_of_their_partitions(lake: str) -> None:
    files = written(lake, raw(range(30)), raw(range(30, 60)))
    assert rows(lake) == []

    open_table(lake, Table.RAW).append_files(files, "test", "by a test")

    assert rows(lake) == expected(range(60))
    assert len(files) == 6
    assert sum(file.rows for file in files) == 60
    assert {file.partition["date"] for file in files} == {"2026-11-19", "2026-11-20", None}


def test_a_large_file_is_followed_by_another_one(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_files, "_GROUP_ROWS", 5)
    monkeypatch.setattr(data_files, "FILE_BYTES", 1)

    files = written(lake, *(raw(range(start, start + 30)) for start in range(0, 90, 30)))

    assert len(files) == 18
    open_table(lake, Table.RAW).append_files(files, "test", "by a test")
    assert rows(lake) == expected(range(90))


def test_a_writer_holds_few_rows_of_many_partitions(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_files, "MAX_HELD_BYTES", 1)

    files = written(lake, *(raw(range(start, start + 30)) for start in range(0, 90, 30)))

    open_table(lake, Table.RAW).append_files(files, "test", "by a test")
    assert rows(lake) == expected(range(90))
    assert len(files) == 6
    assert len(open_table(lake, Table.RAW).parts()) == 18


def test_a_condition_selects_files_by_the_bounds_in_the_log(lake: str) -> None:
    for start in (0, 100, 200):
        files = written(lake, raw(range(start, start + 30)))
        open_table(lake, Table.RAW).append_files(files, "test", "by a test")
    condition = (pc.field("offset") >= 105) & (pc.field("offset") < 110)

    parts = open_table(lake, Table.RAW).parts(condition)

    assert len(parts) == 6
    found = [offset for part in parts for offset in offsets_of(part, condition)]
    assert sorted(found) == [*range(105, 110)]


def offsets_of(part: TablePart, condition: pc.Expression) -> Iterator[int]:
    for batch in part.batches(["offset"], condition):
        yield from batch.column("offset").to_pylist()


def test_a_part_can_be_sent_to_another_process_with_its_partition_values(lake: str) -> None:
    open_table(lake, Table.RAW).append([raw(range(30))], "test", "by a test")
    parts = pickle.loads(pickle.dumps(open_table(lake, Table.RAW).parts()))  # noqa: S301 - our own

    found = [row for part in parts for batch in part.batches(COLUMNS) for row in batch.to_pylist()]

    assert sorted(found, key=lambda row: row["offset"]) == expected(range(30))
    assert sum(part.rows for part in parts) == 30


def test_what_fails_while_rows_are_made_leaves_no_file(lake: str) -> None:
    def failing() -> Iterator[pa.Table]:
        yield raw(range(30))
        raise ConfigError("too many amendments")

    with pytest.raises(ConfigError, match=r"^too many amendments$"):
        open_table(lake, Table.RAW).append(failing(), "test", "by a test")

    assert on_disk(lake) == []
    assert open_table(lake, Table.RAW).version() == 0


def test_of_two_writers_of_a_transaction_the_second_is_refused_and_its_files_removed(
    lake: str,
) -> None:
    table = open_table(lake, Table.RAW)
    first, second = written(lake, raw(range(30))), written(lake, raw(range(30)))
    table.append_files(first, "test", "by a test")
    before = on_disk(lake)

    with pytest.raises(TransientError, match="another writer committed first"):
        open_table(lake, Table.RAW, 0).append_files(second, "test", "by a test")

    assert rows(lake) == expected(range(30))
    assert len(on_disk(lake)) == len(before) - len(second)


def test_texts_too_long_for_a_footer_have_no_bounds(lake: str) -> None:
    """A wrong bound would hide rows from readers."""
    table = raw(range(2)).set_column(
        RAW.get_field_index("key"), RAW.field("key"), pa.array(["a" * 10_000, "z" * 10_000])
    )

    bounds = [json.loads(file.statistics) for file in written(lake, table)]

    assert all("key" not in {**each["minValues"], **each["maxValues"]} for each in bounds)
    assert {each["minValues"]["topic"] for each in bounds} == {"trades"}
