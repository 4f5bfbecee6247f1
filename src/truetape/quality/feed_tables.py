"""What the archive brought in since the last look, read from `raw` without Spark, in bounded steps.

A step takes the oldest records not looked at yet; what is left waits for the next one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.events import RawEvents
from truetape.market.ranges import Range
from truetape.quality.session_tables import Coverage

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
    """Count each partition from where the last look ended: a hole between two looks counts too."""
    for part, step in steps.items():
        offsets = records.filter(pc.equal(records["partition"], part))["offset"]
        start = starts[part] or step.start
        yield Coverage(
            topic, part, Range(start, step.end), len(offsets), pc.count_distinct(offsets).as_py()
        )
