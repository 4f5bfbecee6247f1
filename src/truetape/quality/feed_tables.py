"""What the archive brought in since the last look, read from `raw` without Spark, in bounded steps.

A step takes the oldest records not looked at yet; what is left waits for the next one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.delta import open_table
from truetape.lake.tables import Table
from truetape.market.ranges import Range
from truetape.quality.session_tables import Coverage

if TYPE_CHECKING:
    import pyarrow.dataset

MAX_RECORDS = 400_000
"""Records of one step, about 1 kB of memory each while they are unpacked."""


@dataclass(frozen=True, slots=True)
class FeedTables:
    """Some records of `raw`. `ends` is the last offset looked at of each partition, `behind` how
    many records are left for later steps.
    """

    records: pa.Table
    coverage: tuple[Coverage, ...]
    ends: Mapping[int, int]
    behind: int


def read_feed(lake: str, topic: str, partitions: int, since: Mapping[int, int]) -> FeedTables:
    """Read the oldest records of a topic behind `since`, the last offset seen of each partition."""
    raw = open_table(lake, Table.RAW).to_pyarrow_dataset()
    most = max(1, MAX_RECORDS // partitions)
    after = {part: since.get(part, -1) for part in range(partitions)}
    ranges = dict(_ranges(raw, topic, after))
    ends = {part: min(last, first + most - 1) for part, (first, last) in ranges.items()}
    columns = ["partition", "offset", "feed", "received_ns", "events", "rejected"]
    chosen = [_slice(topic, part, ranges[part][0], end) for part, end in ends.items()]
    records = (
        raw.to_table(columns=columns, filter=reduce(or_, chosen))
        if chosen
        else raw.schema.empty_table().select(columns)
    )
    return FeedTables(
        records=records,
        coverage=tuple(_coverage(records, topic, after, ranges, ends)),
        ends={**since, **ends},
        behind=sum(last - ends[part] for part, (_, last) in ranges.items()),
    )


def _ranges(
    raw: "pyarrow.dataset.Dataset", topic: str, after: Mapping[int, int]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the first and last offset that `raw` has behind `after`, of partitions with any.

    Two narrow columns, a batch at a time: cheap also on the first look at an old lake.
    """
    new = reduce(or_, (_slice(topic, part, offset + 1, None) for part, offset in after.items()))
    found: dict[int, tuple[int, int]] = {}
    for batch in raw.to_batches(columns=["partition", "offset"], filter=new):
        ends = pa.Table.from_batches([batch]).group_by("partition")
        for row in ends.aggregate([("offset", "min"), ("offset", "max")]).to_pylist():
            first, last = found.get(row["partition"], (row["offset_min"], row["offset_max"]))
            found[row["partition"]] = (min(first, row["offset_min"]), max(last, row["offset_max"]))
    yield from sorted(found.items())


def _slice(topic: str, partition: int, first: int, last: int | None) -> pc.Expression:
    chosen = (pc.field("topic") == topic) & (pc.field("partition") == partition)
    chosen &= pc.field("offset") >= first
    return chosen if last is None else chosen & (pc.field("offset") <= last)


def _coverage(
    records: pa.Table,
    topic: str,
    after: Mapping[int, int],
    ranges: Mapping[int, tuple[int, int]],
    ends: Mapping[int, int],
) -> Iterator[Coverage]:
    """Count each partition from where the last look ended: a hole between two looks counts too."""
    for part, end in ends.items():
        held = records.filter(pc.equal(records["partition"], part))["offset"]
        first = after[part] + 1 if after[part] >= 0 else ranges[part][0]
        yield Coverage(
            topic, part, Range(first, end + 1), len(held), pc.count_distinct(held).as_py()
        )
