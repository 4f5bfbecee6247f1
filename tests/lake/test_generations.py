"""Generations of a partition: their names, and how `raw` keeps the records of each apart."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from truetape.lake.completeness import CountedRange
from truetape.lake.coverage import count_offsets, last_count, record_count
from truetape.lake.generations import (
    Generation,
    Generations,
    begin_generations,
    log_name,
    read_generations,
)
from truetape.lake.schemas import RAW
from truetape.market.ranges import Range, Ranges
from truetape.quality.feed_tables import read_feed

TOPIC = "trades"


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def put(lake: str, log: str, partition: int, first: int, last: int) -> None:
    """Append records of one log to `raw`."""
    rows = [
        {
            "topic": log, "partition": partition, "offset": offset, "record_ms": 1_000 + offset,
            "feed": "truetape", "accepted": 1, "rejections": 0, "events": [], "rejected": [],
        }
        for offset in range(first, last + 1)
    ]  # fmt: skip
    write_deltalake(f"{lake}/raw", pa.Table.from_pylist(rows, schema=RAW), mode="append")


def held(first: int, last: int) -> tuple[CountedRange, ...]:
    size = last - first + 1
    return (CountedRange(Range(first, last + 1), size, size, 0),)


def begin(lake: str, number: int, **topic_ids: str) -> Generations:
    ids = {int(part[1:]): topic_id for part, topic_id in topic_ids.items()}
    return begin_generations(lake, TOPIC, ids, number=number, who="ops", reason="disk lost")


@pytest.mark.parametrize(("number", "name"), [(1, "trades"), (2, "trades@2"), (11, "trades@11")])
def test_the_name_of_a_log_has_its_number_from_the_second_one_on(number: int, name: str) -> None:
    assert log_name(TOPIC, number) == name


def test_a_lake_without_records_of_generations_has_the_first_of_each_partition(lake: str) -> None:
    generations = read_generations(lake, TOPIC)

    assert (generations.last, generations.log(3), generations.names) == (1, TOPIC, (TOPIC,))


def test_only_the_partitions_that_lost_their_log_begin_a_generation(lake: str) -> None:
    begin(lake, 1, p0="a", p1="a")
    begin(lake, 2, p1="a")

    generations = begin(lake, 3, p0="b", p1="b")

    assert generations == read_generations(lake, TOPIC)
    assert generations.names == ("trades", "trades@2", "trades@3")
    assert generations.logs([0, 1, 2]) == {0: "trades@3", 1: "trades@3", 2: "trades"}
    assert generations.topic_ids == {0: "b", 1: "b"}


def test_the_newest_topic_id_of_a_generation_counts() -> None:
    """A topic that is made anew before it had a record keeps the number."""
    older = Generation("trades", 0, 1, "a", 1_000, "archive", "first seen")
    newer = Generation("trades", 0, 1, "b", 2_000, "archive", "first seen")

    for recorded in ([older, newer], [newer, older]):
        assert Generations.of("trades", recorded).topic_ids == {0: "b"}


def test_equal_offsets_of_two_generations_are_different_records(lake: str) -> None:
    put(lake, "trades", 0, 0, 9)
    put(lake, "trades", 1, 0, 19)
    before = count_offsets(lake, TOPIC)
    record_count(lake, before)
    begin(lake, 2, p1="a")
    put(lake, "trades@2", 1, 0, 4)

    counted = count_offsets(lake, TOPIC, last_count(lake, TOPIC))

    assert counted.ranges == {0: held(0, 9), 1: held(0, 4)}
    assert counted.earlier == {("trades", 1): held(0, 19)}
    assert (counted.ends, counted.records) == ({0: 10, 1: 5}, 35)
    assert counted.fresh(before) == {("trades@2", 1): Ranges.between(0, 5)}
    record_count(lake, counted)
    assert last_count(lake, TOPIC) == counted == count_offsets(lake, TOPIC)


def test_a_generation_without_records_has_no_end(lake: str) -> None:
    put(lake, "trades", 0, 0, 9)
    record_count(lake, count_offsets(lake, TOPIC))
    begin(lake, 2, p0="a")

    counted = count_offsets(lake, TOPIC, last_count(lake, TOPIC))

    assert (counted.ends, counted.records) == ({}, 10)


def test_the_check_of_feeds_reads_a_new_generation_from_its_start(lake: str) -> None:
    put(lake, "trades", 0, 0, 9)
    put(lake, "trades", 1, 0, 19)
    first = read_feed(lake, TOPIC, 2, {})
    begin(lake, 2, p1="a")
    put(lake, "trades@2", 1, 0, 4)

    second = read_feed(lake, TOPIC, 2, first.ends)

    assert second.records["offset"].to_pylist() == [0, 1, 2, 3, 4]
    assert second.ends == {("trades", 0): 9, ("trades", 1): 19, ("trades@2", 1): 4}
