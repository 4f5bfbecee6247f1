"""Reads the records that were archived since the last check from `raw`, in bounded steps.

A step reads the oldest unchecked records; the rest waits for the next step. Needs no Spark.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.events import RawEvents
from truetape.market.ranges import Range
from truetape.quality.session_tables import Coverage

MAX_RECORDS = 400_000
"""Number of records in one step. Each takes about 1 kB of memory while it is unpacked."""


@dataclass(frozen=True, slots=True)
class FeedTables:
    """Records of `raw`. `ends` is the last checked offset of each partition, `behind` the number of
    records that are left for later steps.
    """

    records: pa.Table
    coverage: tuple[Coverage, ...]
    ends: Mapping[int, int]
    behind: int


def read_feed(lake: str, topic: str, partitions: int, since: Mapping[int, int]) -> FeedTables:
    """Read the oldest records of a topic after `since`, the last checked offset by partition."""
    raw = RawEvents(lake)
    most = max(1, MAX_RECORDS // partitions)
    starts = {part: since.get(part, -1) + 1 for part in range(partitions)}
    ranges = raw.offset_bounds(topic, starts)
    steps = {
        part: Range(span.start, min(span.end, span.start + most)) for part, span in ranges.items()
    }
    columns = ["partition", "offset", "feed", "received_ns", "events", "rejected"]
    records = raw.records(topic, steps, columns)
    return FeedTables(
        records=records,
        coverage=tuple(_coverage(records, topic, starts, steps)),
        ends={**since, **{part: step.last for part, step in steps.items()}},
        behind=sum(span.end - steps[part].end for part, span in ranges.items()),
    )


def _coverage(
    records: pa.Table, topic: str, starts: Mapping[int, int], steps: Mapping[int, Range]
) -> Iterator[Coverage]:
    """Count each partition from the end of the last check, so that holes in between count too."""
    for part, step in steps.items():
        offsets = records.filter(pc.equal(records["partition"], part))["offset"]
        start = starts[part] or step.start
        yield Coverage(
            topic, part, Range(start, step.end), len(offsets), pc.count_distinct(offsets).as_py()
        )
