"""Counts which offsets `raw` holds, and remembers the count so that the next one reads less.

Only rows that were read are counted. The table `counted` is a note of them, never their proof: it
is passed over when it speaks of another `raw`, and a full count needs it not at all. Reads Delta's
files directly, without Spark.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetape.broker.offsets import available_offsets
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.completeness import CountedRange, joined
from truetape.lake.delta import open_table, read_rows, replace_rows
from truetape.lake.tables import Table
from truetape.market.ranges import Range

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.dataset

MAX_RANGES = 10_000
"""Most ranges of one topic. Beyond, offsets are not contiguous by nature: the topic is compacted,
or written in transactions."""
MAX_SKIPPED_RANGES = 50
"""Most ranges of one partition that a count does not read again; each is a term of its filter."""

_COLUMNS = ("partition", "offset", "accepted", "rejections")


@dataclass(frozen=True, slots=True)
class Counted:
    """The offsets of a topic that one version of one `raw` holds."""

    topic: str
    raw_id: str
    raw_version: int
    ranges: Mapping[int, tuple[CountedRange, ...]]

    @property
    def records(self) -> int:
        """Return how many records were counted, repeated ones included."""
        return sum(one.records for ranges in self.ranges.values() for one in ranges)

    @property
    def ends(self) -> dict[int, int]:
        """Return the offset behind the last one held, by partition."""
        return {partition: ranges[-1].end for partition, ranges in self.ranges.items()}


def count(lake: str, topic: str, known: Counted | None = None) -> Counted:
    """Count the records of a topic in the newest version of `raw`.

    Offsets that are `known` are taken over, and files that hold no others are not opened: rows
    that `raw` lost or got twice since stay unseen until it is counted without `known`. ConfigError
    when there are more than MAX_RANGES ranges.
    """
    raw = open_table(lake, Table.RAW)
    version = raw.version()
    if known is not None and known.raw_version == version:
        return known
    kept = (
        {} if known is None else {part: _largest(ranges) for part, ranges in known.ranges.items()}
    )
    found = [(part, one) for part, ranges in kept.items() for one in ranges]
    rows = raw.to_pyarrow_dataset()
    for batch in rows.to_batches(columns=list(_COLUMNS), filter=_outside(topic, kept)):
        found.extend(_ranges(batch))
        if len(found) > MAX_RANGES:
            found = _bounded(found, topic)
    return Counted(topic, raw.metadata().id, version, _by_partition(found))


def last_count(lake: str, topic: str) -> Counted | None:
    """Return the noted count of a topic; None where there is none of the `raw` that is there now,
    which may have been made anew or restored.
    """
    rows = read_rows(lake, Table.COVERAGE, [("topic", "=", topic)])
    if not rows:
        return None
    raw = open_table(lake, Table.RAW)
    if rows[0]["raw_id"] != raw.metadata().id:
        return None
    if rows[0]["raw_version"] > raw.version():
        return None
    found = [
        (
            row["partition"],
            CountedRange(
                Range(row["first"], row["last"] + 1),
                row["records"],
                row["accepted"],
                row["rejected"],
            ),
        )
        for row in rows
    ]
    return Counted(topic, rows[0]["raw_id"], rows[0]["raw_version"], _by_partition(found))


def has_new_records(settings: Settings) -> bool:
    """True if Kafka has records that no archive run has finished. Does not start Spark.

    A run records its count last, after its dead letters and marks. Raise TransientError if Kafka
    does not answer.
    """
    available = available_offsets(settings.kafka, settings.topic)
    counted = last_count(settings.lake, settings.topic)
    ends = {} if counted is None else counted.ends
    return any(ends.get(partition, 0) < offsets.end for partition, offsets in available.items())


def note(lake: str, counted: Counted) -> None:
    """Replace the noted count of this topic; TransientError when somebody else does the same."""
    about = {"topic": counted.topic, "raw_id": counted.raw_id, "raw_version": counted.raw_version}
    rows = [
        about
        | {
            "partition": partition,
            "first": part.start,
            "last": part.offsets.last,
            "records": part.records,
            "accepted": part.accepted,
            "rejected": part.rejected,
        }
        for partition, ranges in counted.ranges.items()
        for part in ranges
    ]
    replace_rows(lake, Table.COVERAGE, rows, where=f"topic = '{counted.topic}'")


def _largest(ranges: tuple[CountedRange, ...]) -> list[CountedRange]:
    return sorted(ranges, key=lambda one: one.records)[-MAX_SKIPPED_RANGES:]


def _outside(topic: str, kept: Mapping[int, list[CountedRange]]) -> "pyarrow.dataset.Expression":
    """Choose the records of a topic that lie in no kept range; partitions without one whole."""
    import pyarrow
    from pyarrow.dataset import field

    # of the column's own type, or no file is passed over
    numbers = {part: pyarrow.scalar(part, pyarrow.int32()) for part in kept}
    chosen = ~field("partition").isin(pyarrow.array(list(kept), pyarrow.int32()))
    for part, ranges in kept.items():
        fresh = field("partition") == numbers[part]
        for one in ranges:
            fresh &= (field("offset") < one.start) | (field("offset") >= one.end)
        chosen |= fresh
    return (field("topic") == topic) & chosen


def _ranges(rows: "pyarrow.RecordBatch") -> Iterator[tuple[int, CountedRange]]:
    """Yield (partition, range) of rows in any order."""
    import numpy as np

    if not rows.num_rows:
        return
    columns = [rows.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS]
    order = np.lexsort((columns[1], columns[0]))
    part, offset, accepted, rejected = (values[order].astype(np.int64) for values in columns)
    begins = np.flatnonzero(np.r_[True, (np.diff(part) != 0) | (np.diff(offset) > 1)])
    ends = np.r_[begins[1:], len(part)]
    totals = [np.add.reduceat(values, begins) for values in (accepted, rejected)]
    for begin, end, *held in zip(begins, ends, *totals, strict=True):
        first, last = int(offset[begin]), int(offset[end - 1])
        yield (
            int(part[begin]),
            CountedRange(Range(first, last + 1), int(end - begin), *map(int, held)),
        )


def _by_partition(found: list[tuple[int, CountedRange]]) -> dict[int, tuple[CountedRange, ...]]:
    groups: dict[int, list[CountedRange]] = {}
    for partition, one in found:
        groups.setdefault(partition, []).append(one)
    return {partition: joined(groups[partition]) for partition in sorted(groups)}


def _bounded(found: list[tuple[int, CountedRange]], topic: str) -> list[tuple[int, CountedRange]]:
    """Join what was found; ConfigError when it stays too much."""
    joint = [(part, one) for part, ranges in _by_partition(found).items() for one in ranges]
    if len(joint) > MAX_RANGES:
        raise ConfigError(
            f"offsets of {topic} lie in over {MAX_RANGES:,} pieces, so holes cannot be told: is it "
            'compacted or written in transactions? see "Holes" in docs/RUNBOOK.md'
        )
    return joint
