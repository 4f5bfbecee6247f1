"""Reads the records that were archived since the last check from `raw`, in bounded steps.

A step reads the oldest unchecked records; the rest waits for the next step. Needs no Spark.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.coverage import LogPartition
from truetape.lake.events import RawEvents
from truetape.lake.generations import read_generations
from truetape.market.ranges import Range
from truetape.quality.session_tables import Coverage

MAX_RECORDS = 400_000
"""Number of records in one step. Each takes about 1 kB of memory while it is unpacked."""


@dataclass(frozen=True, slots=True)
class FeedTables:
    """Records of `raw`. `ends` is the last checked offset of each log and partition, `behind` the
    number of records that are left for later steps.
    """

    records: pa.Table
    coverage: tuple[Coverage, ...]
    ends: Mapping[LogPartition, int]
    behind: int


def read_feed(
    lake: str, topic: str, partitions: int, since: Mapping[LogPartition, int]
) -> FeedTables:
    """Read the oldest records of a topic after `since`, the last checked offset.

    Reads the present generation of each partition only.
    """
    raw, most = RawEvents(lake), max(1, MAX_RECORDS // partitions)
    logs = read_generations(lake, topic).logs(range(partitions))
    steps = [
        _read_log(raw, log, {part for part, name in logs.items() if name == log}, since, most)
        for log in sorted(set(logs.values()))
    ]
    return FeedTables(
        records=pa.concat_tables(step.records for step in steps),
        coverage=tuple(part for step in steps for part in step.coverage),
        ends={**since, **{place: end for step in steps for place, end in step.ends.items()}},
        behind=sum(step.behind for step in steps),
    )


def _read_log(
    raw: RawEvents, log: str, partitions: Set[int], since: Mapping[LogPartition, int], most: int
) -> FeedTables:
    starts = {part: since.get((log, part), -1) + 1 for part in sorted(partitions)}
    ranges = raw.offset_bounds(log, starts)
    steps = {
        part: Range(span.start, min(span.end, span.start + most)) for part, span in ranges.items()
    }
    columns = ["partition", "offset", "feed", "received_ns", "events", "rejected"]
    records = raw.records(log, steps, columns)
    return FeedTables(
        records=records,
        coverage=tuple(_coverage(records, log, starts, steps)),
        ends={(log, part): step.last for part, step in steps.items()},
        behind=sum(span.end - steps[part].end for part, span in ranges.items()),
    )


def _coverage(
    records: pa.Table, log: str, starts: Mapping[int, int], steps: Mapping[int, Range]
) -> Iterator[Coverage]:
    """Count each partition from the end of the last check, so that holes in between count too."""
    for part, step in steps.items():
        offsets = records.filter(pc.equal(records["partition"], part))["offset"]
        start = starts[part] or step.start
        yield Coverage(
            log, part, Range(start, step.end), len(offsets), pc.count_distinct(offsets).as_py()
        )
