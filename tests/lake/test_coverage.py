"""Counting `raw`: each record is read once, and counted records are not read again."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truetape.host.errors import ConfigError
from truetape.lake import coverage
from truetape.lake.completeness import CountedRange
from truetape.lake.coverage import OffsetCount, count_offsets, last_count, record_count
from truetape.lake.delta import open_table
from truetape.lake.tables import Table, table_path
from truetape.market.ranges import Range

if TYPE_CHECKING:
    from deltalake import DeltaTable

TOPIC = "trades"
Place = tuple[int, int]
"""Partition and offset."""


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def raw(lake: str) -> "DeltaTable":
    from deltalake import DeltaTable

    return DeltaTable(table_path(lake, Table.RAW))


def put(lake: str, places: Iterable[Place], topic: str = TOPIC) -> None:
    """Append records to `raw`, each with two events and, at every tenth offset, a rejection."""
    import pyarrow
    from deltalake import write_deltalake

    rows = [
        {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "accepted": 2,
            "rejections": int(offset % 10 == 0),
            "record_ms": 1_000 + offset,
        }
        for partition, offset in places
    ]
    small, whole = pyarrow.int32(), pyarrow.int64()
    schema = pyarrow.schema(
        {
            "topic": pyarrow.string(),
            "partition": small,
            "offset": whole,
            "accepted": small,
            "rejections": small,
            "record_ms": whole,
        }
    )
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    write_deltalake(table_path(lake, Table.RAW), table, mode="append", partition_by=["partition"])


def places(partition: int, first: int, last: int) -> list[Place]:
    return [(partition, offset) for offset in range(first, last + 1)]


def offset_range(first: int, last: int, records: int | None = None) -> CountedRange:
    """Return the range that `put` writes for these offsets."""
    held = range(first, last + 1)
    size = len(held) if records is None else records
    return CountedRange(
        Range(first, last + 1), size, 2 * size, sum(offset % 10 == 0 for offset in held)
    )


def files(lake: str) -> set[Path]:
    return {Path(uri) for uri in raw(lake).file_uris()}


def count_and_note(lake: str) -> OffsetCount:
    """Count and record the count, as an archive run does."""
    found = count_offsets(lake, TOPIC, last_count(lake, TOPIC))
    record_count(lake, found)
    return found


def test_each_partition_is_counted_with_its_accepted_and_rejected_events(lake: str) -> None:
    put(lake, [*places(0, 0, 19), *places(1, 7, 9), *places(1, 12, 12)])
    put(lake, places(0, 20, 24), topic="another")

    found = count_offsets(lake, TOPIC)

    assert found.ranges == {
        0: (offset_range(0, 19),),
        1: (offset_range(7, 9), offset_range(12, 12)),
    }
    assert (found.records, found.ends) == (24, {0: 20, 1: 13})


def test_the_stamp_of_the_last_record_of_a_range_is_kept(lake: str) -> None:
    put(lake, [*places(0, 0, 19), *places(0, 30, 39)])
    count_and_note(lake)
    put(lake, places(0, 20, 24))
    count_and_note(lake)

    noted = last_count(lake, TOPIC)

    assert noted is not None
    assert [held.last_ms for held in noted.ranges[0]] == [1_024, 1_039]


def test_a_count_of_an_older_version_lacks_the_stamp_until_new_records_come(lake: str) -> None:
    import pyarrow
    from deltalake import write_deltalake

    put(lake, places(0, 0, 19))
    counted = count_offsets(lake, TOPIC)
    names = ("topic", "raw_id", "raw_version", "partition", "first", "last", "records")
    values = (TOPIC, counted.raw_id, counted.raw_version, 0, 0, 19, 20)
    row = dict(zip(names, values, strict=True)) | {"accepted": 40, "rejected": 2}
    write_deltalake(table_path(lake, Table.COVERAGE), pyarrow.Table.from_pylist([row]))
    older = last_count(lake, TOPIC)
    assert older is not None
    assert [held.last_ms for held in older.ranges[0]] == [None]

    put(lake, places(0, 20, 24))

    assert [held.last_ms for held in count_and_note(lake).ranges[0]] == [1_024]
    noted = last_count(lake, TOPIC)
    assert noted is not None
    assert [held.last_ms for held in noted.ranges[0]] == [1_024]


def test_a_topic_without_records_has_no_ranges(lake: str) -> None:
    put(lake, places(0, 0, 3), topic="another")

    assert count_and_note(lake).ranges == {}
    assert count_and_note(lake).ranges == {}


def test_records_of_two_runs_join_into_one_range(lake: str) -> None:
    put(lake, places(0, 0, 19))
    count_and_note(lake)
    put(lake, [*places(0, 20, 24), *places(1, 0, 3)])

    assert count_and_note(lake).ranges == {0: (offset_range(0, 24),), 1: (offset_range(0, 3),)}


def test_a_second_count_opens_no_file_with_only_counted_records(lake: str) -> None:
    """The old files are moved away, so a count that opens one of them fails."""
    put(lake, [*places(0, 0, 9_999), *places(1, 0, 99)])
    count_and_note(lake)
    old = files(lake)
    put(lake, [*places(0, 10_000, 10_004), *places(1, 100, 100)])
    for file in old:
        file.rename(file.with_suffix(".away"))

    assert count_and_note(lake).ranges == {
        0: (offset_range(0, 10_004),),
        1: (offset_range(0, 100),),
    }
    with pytest.raises(ConfigError, match="is damaged"):
        count_offsets(lake, TOPIC)


def test_compacted_files_are_skipped_too(lake: str) -> None:
    """Partition 1 has a tenth of the records: partition 0 already has the same offsets."""
    for day in range(5):
        put(lake, places(0, day * 100, day * 100 + 99))
        put(lake, places(1, day * 10, day * 10 + 9))
    count_and_note(lake)
    raw(lake).optimize.compact()
    old = files(lake)
    assert len(old) == 2
    put(lake, [*places(0, 500, 599), *places(1, 50, 59)])
    for file in old:
        file.rename(file.with_suffix(".away"))

    assert count_and_note(lake).ranges == {
        0: (offset_range(0, 599),),
        1: (offset_range(0, 59),),
    }


def test_a_second_count_of_the_same_version_reads_nothing(lake: str) -> None:
    put(lake, places(0, 0, 19))
    first = count_and_note(lake)
    for file in files(lake):
        file.unlink()

    assert count_and_note(lake) == first


def test_the_next_count_finds_rows_that_another_program_deleted(lake: str) -> None:
    """The log of the table has fewer rows then; the earlier count has them all."""
    put(lake, places(0, 0, 19))
    count_and_note(lake)
    raw(lake).delete("offset in (3, 4, 5, 11)")
    put(lake, places(0, 20, 20))

    torn = count_and_note(lake)

    assert torn.ranges == {0: (offset_range(0, 2), offset_range(6, 10), offset_range(12, 20))}
    assert torn == count_offsets(lake, TOPIC)
    assert last_count(lake, TOPIC) == torn


def test_the_next_count_finds_a_record_that_was_appended_twice(lake: str) -> None:
    put(lake, places(0, 0, 19))
    count_and_note(lake)
    put(lake, places(0, 15, 15))

    assert count_and_note(lake).ranges == {0: (CountedRange(Range(0, 20), 21, 42, 2),)}


def test_rows_of_another_topic_do_not_cause_a_full_count(lake: str) -> None:
    put(lake, places(0, 0, 19))
    put(lake, places(0, 0, 9), topic="quotes")
    count_and_note(lake)
    counted = files(lake)
    put(lake, places(0, 20, 29))
    put(lake, places(0, 10, 19), topic="quotes")
    for file in counted:
        file.unlink()

    assert count_and_note(lake).ranges == {0: (offset_range(0, 29),)}


def test_a_local_table_is_read_without_python_in_the_threads_of_arrow(lake: str) -> None:
    """Deltalake's own file access is Python code. An interpreter that ends while one of Arrow's
    threads still closes a file through it is aborted: exit code 134 after a right answer.
    """
    put(lake, places(0, 0, 19))

    table = open_table(lake, Table.RAW)

    assert table._dataset().filesystem.type_name == "subtree"
    assert table._dataset().filesystem.base_fs.type_name == "local"


def test_the_next_count_finds_a_filled_hole(lake: str) -> None:
    put(lake, [*places(0, 4, 9), *places(0, 12, 19)])
    count_and_note(lake)
    put(lake, places(0, 10, 11))
    assert count_and_note(lake).ranges == {0: (offset_range(4, 19),)}
    put(lake, places(0, 0, 3))

    assert count_and_note(lake).ranges == {0: (offset_range(0, 19),)}


@pytest.mark.parametrize(
    "count_stays", [True, False], ids=["restored to an older version", "created again"]
)
def test_the_count_of_another_raw_is_ignored(lake: str, count_stays: bool) -> None:
    put(lake, places(0, 0, 19))
    found = count_and_note(lake)
    record_count(
        lake, replace(found, **({"raw_version": 7} if count_stays else {"raw_id": "another"}))
    )

    assert last_count(lake, TOPIC) is None


def test_each_topic_in_a_lake_has_its_own_count(lake: str) -> None:
    put(lake, places(0, 0, 19))
    put(lake, places(0, 0, 4), topic="another")
    for topic in (TOPIC, "another"):
        record_count(lake, count_offsets(lake, topic))

    noted = [last_count(lake, topic) for topic in (TOPIC, "another")]
    assert [found and found.records for found in noted] == [20, 5]


@pytest.mark.parametrize("most", [49, 50], ids=["over the limit", "at the limit"])
def test_offsets_in_too_many_ranges_are_an_error(
    lake: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(coverage, "MAX_RANGES", most)
    put(lake, [(0, 2 * number) for number in range(50)])

    if most == 50:
        assert len(count_offsets(lake, TOPIC).ranges[0]) == 50
    else:
        with pytest.raises(ConfigError, match="trades are in over 49 pieces"):
            count_offsets(lake, TOPIC)


def test_a_partition_with_more_ranges_than_the_filter_has_terms_is_counted_correctly(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "MAX_SKIPPED_RANGES", 2)
    pieces = [places(0, 10 * number, 10 * number + number) for number in range(6)]
    put(lake, [place for piece in pieces for place in piece])
    count_and_note(lake)
    put(lake, [(0, 9), (0, 60)])

    assert count_and_note(lake).ranges == count_offsets(lake, TOPIC).ranges
    assert count_and_note(lake).records == 23


ARRIVALS = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), unique=True), min_size=1, max_size=4
)


@pytest.mark.real
@settings(max_examples=40)  # each example writes a few small tables
@given(ARRIVALS)
def test_both_counts_are_right_in_whatever_order_records_arrive(
    tmp_path_factory: pytest.TempPathFactory, arrivals: Sequence[Sequence[Place]]
) -> None:
    """Each run appends in any order and with holes, each record only once, as the archive does."""
    lake = str(tmp_path_factory.mktemp("lake"))
    there: set[Place] = set()
    for arrival in arrivals:
        put(lake, [place for place in arrival if place not in there])
        there |= set(arrival)
        step = count_and_note(lake)

        held = {
            (part, offset)
            for part, ranges in step.ranges.items()
            for one in ranges
            for offset in range(one.start, one.end)
        }
        assert held == there
        assert step.records == len(there)
        assert step == count_offsets(lake, TOPIC)
