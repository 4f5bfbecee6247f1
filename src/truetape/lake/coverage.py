"""Coverage: counts which offsets `raw` has, and stores the count so that the next one reads less.

Counts only rows that it reads. The stored count saves reading and is never evidence: it is ignored
if it belongs to another `raw`, and a full count does not use it. Knows nothing of Kafka's offsets
(`completeness` compares them), except whether there are new ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from truetape.broker.offsets import available_offsets
from truetape.host.errors import ConfigError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.sql import quoted
from truetape.lake.completeness import CountedRange, joined, offsets_of
from truetape.lake.delta import open_table, read_rows, replace_rows
from truetape.lake.generations import Generations, read_generations
from truetape.lake.tables import Table
from truetape.market.ranges import Range, Ranges

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.dataset

    from truetape.lake.delta import LakeTable

MAX_RANGES = 10_000
"""Most ranges of one topic. With more, its offsets are not contiguous by nature: the topic is
compacted, or written in transactions."""
MAX_SKIPPED_RANGES = 50
"""Most ranges of one partition that a count does not read again; each is a term of its filter."""

_COLUMNS = ("partition", "offset", "accepted", "rejections", "record_ms")


Logs = Mapping[str, Mapping[int, tuple[CountedRange, ...]]]
"""Counted ranges by the name of a log, then by partition."""
LogPartition = tuple[str, int]
"""The name of a log, and a partition."""


@dataclass(frozen=True, slots=True)
class OffsetCount:
    """The offsets of a topic in one version of one `raw`, of every generation."""

    generations: Generations
    raw_id: str
    raw_version: int
    logs: Logs

    @property
    def topic(self) -> str:
        """Return the name of the topic."""
        return self.generations.topic

    @property
    def ranges(self) -> dict[int, tuple[CountedRange, ...]]:
        """Return the ranges of the present generations, by partition."""
        places = sorted(self._places().items(), key=lambda place: place[0][1])
        return {part: held for (log, part), held in places if self._is_present(log, part)}

    @property
    def earlier(self) -> dict[LogPartition, tuple[CountedRange, ...]]:
        """Return the ranges of the generations before."""
        places = self._places().items()
        return {place: held for place, held in places if not self._is_present(*place)}

    def fresh(self, known: "OffsetCount") -> dict[LogPartition, Ranges]:
        """Return the offsets that another count lacks; partitions without any are omitted."""
        others = known._places()
        fresh = {
            place: offsets_of(held) - offsets_of(others.get(place, ()))
            for place, held in self._places().items()
        }
        return {place: offsets for place, offsets in fresh.items() if offsets}

    @property
    def records(self) -> int:
        """Return how many records were counted, repeated ones included."""
        return sum(held.records for ranges in self._places().values() for held in ranges)

    @property
    def ends(self) -> dict[int, int]:
        """Return the offset after the last one in `raw` of the present generation, by partition."""
        return {partition: ranges[-1].end for partition, ranges in self.ranges.items()}

    def _places(self) -> dict[LogPartition, tuple[CountedRange, ...]]:
        return {
            (log, partition): held
            for log, partitions in self.logs.items()
            for partition, held in partitions.items()
        }

    def _is_present(self, log: str, partition: int) -> bool:
        return log == self.generations.log(partition)


def count_offsets(lake: str, topic: str, known: OffsetCount | None = None) -> OffsetCount:
    """Count the records of a topic in the newest version of `raw`.

    The offsets of a `known` count are taken over, and files that have no others are not opened. If
    the table's log then has another number of rows, `raw` has lost rows or got some twice since,
    and all of it is counted. Raise ConfigError for more than MAX_RANGES ranges.
    """
    raw, generations = open_table(lake, Table.RAW), read_generations(lake, topic)
    version = raw.version()
    if known is not None and known.raw_version == version:
        return replace(known, generations=generations)
    counted = _count(raw, generations, known)
    logged = raw.logged_rows("topic", generations.names)
    if known is None or logged in (None, counted.records):
        return counted
    logger("lake").warning(
        "raw was changed by another program; it is counted anew",
        raw=lake,
        rows=logged,
        counted=counted.records,
    )
    return _count(raw, generations, None)


def _count(raw: "LakeTable", generations: Generations, known: OffsetCount | None) -> OffsetCount:
    counts = {
        log: _count_log(raw, log, {} if known is None else known.logs.get(log, {}))
        for log in generations.names
    }
    logs = {log: partitions for log, partitions in counts.items() if partitions}
    return OffsetCount(generations, raw.id(), raw.version(), logs)


def rows_lost(lake: str, topic: str) -> int:
    """Return how many of the counted rows `raw` has lost, by its log; 0 if that is unknown."""
    known = last_count(lake, topic)
    if known is None:
        return 0
    logged = open_table(lake, Table.RAW).logged_rows("topic", known.generations.names)
    return 0 if logged is None else max(0, known.records - logged)


def last_count(lake: str, topic: str) -> OffsetCount | None:
    """Return the stored count of a topic; None if there is none for the present `raw`, which may
    have been created anew or restored.
    """
    generations = read_generations(lake, topic)
    rows = read_rows(lake, Table.COVERAGE, [("topic", "in", list(generations.names))])
    if not rows:
        return None
    raw = open_table(lake, Table.RAW)
    if rows[0]["raw_id"] != raw.id():
        return None
    if rows[0]["raw_version"] > raw.version():
        return None
    counted: dict[str, list[tuple[int, CountedRange]]] = {}
    for row in rows:
        counted.setdefault(row["topic"], []).append((row["partition"], _counted_range(row)))
    logs = {log: _by_partition(ranges) for log, ranges in counted.items()}
    return OffsetCount(generations, rows[0]["raw_id"], rows[0]["raw_version"], logs)


def has_new_records(settings: Settings) -> bool:
    """True if Kafka has records that no archive run has finished. Does not start Spark.

    A run records its count last, after its dead letters and marks. Also true if Kafka has fewer
    records than were counted: the run then says why. Raise TransientError if Kafka does not answer.
    """
    available = available_offsets(settings.kafka, settings.topic)
    counted = last_count(settings.lake, settings.topic)
    ends = {} if counted is None else counted.ends
    return any(
        max(ends.get(partition, 0), offsets.start) != offsets.end
        for partition, offsets in available.items()
    )


def record_count(lake: str, counted: OffsetCount) -> None:
    """Replace the stored count of a topic. Raise TransientError if another writer does the same."""
    count = {"raw_id": counted.raw_id, "raw_version": counted.raw_version}
    rows = [
        count
        | {
            "topic": log,
            "partition": partition,
            "first": held.start,
            "last": held.offsets.last,
            "records": held.records,
            "accepted": held.accepted,
            "rejected": held.rejected,
            "last_ms": held.last_ms,
        }
        for log, partitions in counted.logs.items()
        for partition, ranges in partitions.items()
        for held in ranges
    ]
    names = ", ".join(quoted(name) for name in counted.generations.names)
    replace_rows(lake, Table.COVERAGE, rows, where=f"topic IN ({names})")


def _count_log(
    raw: "LakeTable", log: str, known: Mapping[int, tuple[CountedRange, ...]]
) -> dict[int, tuple[CountedRange, ...]]:
    taken = {part: _largest(ranges) for part, ranges in known.items()}
    counted = [(part, span) for part, ranges in taken.items() for span in ranges]
    for batch in raw.batches(_COLUMNS, _outside(log, taken)):
        counted.extend(_ranges(batch))
        if len(counted) > MAX_RANGES:
            counted = _bounded(counted, log)
    return _by_partition(counted)


def _counted_range(row: Mapping[str, int]) -> CountedRange:
    offsets = Range(row["first"], row["last"] + 1)
    last_ms = row.get("last_ms")  # a table of an older version lacks it
    return CountedRange(offsets, row["records"], row["accepted"], row["rejected"], last_ms)


def _largest(ranges: tuple[CountedRange, ...]) -> list[CountedRange]:
    return sorted(ranges, key=lambda part: part.records)[-MAX_SKIPPED_RANGES:]


def _outside(topic: str, taken: Mapping[int, list[CountedRange]]) -> "pyarrow.dataset.Expression":
    """Select the records of a topic outside these ranges; partitions without ranges are whole."""
    import pyarrow
    from pyarrow.dataset import field

    # scalars of the column's own type: with another type, no file would be skipped
    numbers = {part: pyarrow.scalar(part, pyarrow.int32()) for part in taken}
    condition = ~field("partition").isin(pyarrow.array(list(taken), pyarrow.int32()))
    for part, ranges in taken.items():
        outside = field("partition") == numbers[part]
        for span in ranges:
            outside &= (field("offset") < span.start) | (field("offset") >= span.end)
        condition |= outside
    return (field("topic") == topic) & condition


def _ranges(rows: "pyarrow.RecordBatch") -> Iterator[tuple[int, CountedRange]]:
    """Yield (partition, range) of rows in any order."""
    import numpy as np

    if not rows.num_rows:
        return
    columns = [rows.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS]
    order = np.lexsort((columns[1], columns[0]))
    part, offset, accepted, rejected, stamp = (values[order].astype(np.int64) for values in columns)
    begins = np.flatnonzero(np.r_[True, (np.diff(part) != 0) | (np.diff(offset) > 1)])
    ends = np.r_[begins[1:], len(part)]
    totals = [np.add.reduceat(values, begins) for values in (accepted, rejected)]
    for begin, end, *sums in zip(begins, ends, *totals, strict=True):
        offsets = Range(int(offset[begin]), int(offset[end - 1]) + 1)
        counts = map(int, (end - begin, *sums, stamp[end - 1]))
        yield int(part[begin]), CountedRange(offsets, *counts)


def _by_partition(counted: list[tuple[int, CountedRange]]) -> dict[int, tuple[CountedRange, ...]]:
    groups: dict[int, list[CountedRange]] = {}
    for partition, part in counted:
        groups.setdefault(partition, []).append(part)
    return {partition: joined(groups[partition]) for partition in sorted(groups)}


def _bounded(counted: list[tuple[int, CountedRange]], topic: str) -> list[tuple[int, CountedRange]]:
    """Join ranges. Raise ConfigError if more than MAX_RANGES are left."""
    joint = [(part, span) for part, ranges in _by_partition(counted).items() for span in ranges]
    if len(joint) > MAX_RANGES:
        raise ConfigError(
            f"offsets of {topic} are in over {MAX_RANGES:,} pieces; holes cannot be found: is it "
            'compacted or written in transactions? see "Holes" in docs/RUNBOOK.md'
        )
    return joint
