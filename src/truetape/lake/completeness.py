"""Offsets of a topic: what the lake holds, what Kafka has, and the holes between. Does no I/O.

Kafka numbers the records of a partition from 0, so whatever lies below its end and is not held is
missing: at the start, in the middle, at the end, or all of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from truetape.broker.offsets import AvailableOffsets

OffsetRanges = Mapping[int, Sequence["OffsetRange"]]
"""Ranges by partition, ascending and never adjacent, as `joined` makes them."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets `first` to `last`, none of them missing, and what their records hold.

    There are more `records` than offsets where a record lies in the lake more than once.
    """

    first: int
    last: int
    records: int
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Offsets `[first, last]` of one partition that the lake should hold and does not.

    `recoverable` says that Kafka has all of them; what it has none of is lost, and a hole of both
    kinds is two.
    """

    topic: str
    partition: int
    first: int
    last: int
    recoverable: bool


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the lake holds of one partition, and what it lacks."""

    topic: str
    partition: int
    ranges: tuple[OffsetRange, ...]
    holes: tuple[Hole, ...]

    @property
    def first(self) -> int | None:
        """Return the first offset held, None when there is none."""
        return self.ranges[0].first if self.ranges else None

    @property
    def last(self) -> int | None:
        """Return the last offset held, None when there is none."""
        return self.ranges[-1].last if self.ranges else None

    @property
    def records(self) -> int:
        """Return how many records the lake holds, repeated ones included."""
        return sum(one.records for one in self.ranges)

    @property
    def repeated(self) -> int:
        """Return how many of the records the lake should not hold, since it has them already."""
        return self.records - sum(one.last - one.first + 1 for one in self.ranges)


def completeness(
    topic: str, held: OffsetRanges, kafka: Mapping[int, AvailableOffsets]
) -> list[Completeness]:
    """Name the holes of each partition that the lake or Kafka knows, in their order."""
    return [
        _of_partition(topic, partition, held.get(partition, ()), kafka.get(partition))
        for partition in sorted(held.keys() | kafka.keys())
    ]


def joined(ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:
    """Merge ranges that touch or overlap; where they overlap, records are held more than once."""
    merged: list[OffsetRange] = []
    for one in sorted(ranges, key=lambda item: item.first):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = _sum(merged[-1], one)
        else:
            merged.append(one)
    return tuple(merged)


def _of_partition(
    topic: str, partition: int, ranges: Sequence[OffsetRange], kept: AvailableOffsets | None
) -> Completeness:
    begin, end = (0, 0) if kept is None else (kept.begin, kept.end)
    holes = [
        Hole(topic, partition, first, last, recoverable=kept is not None and begin <= first)
        for gap in _gaps(ranges, end)
        for first, last in _cut(gap, begin)
    ]
    return Completeness(topic, partition, tuple(ranges), tuple(holes))


def _gaps(ranges: Sequence[OffsetRange], end: int) -> Iterator[tuple[int, int]]:
    due = 0
    for one in ranges:
        if due < one.first:
            yield due, one.first - 1
        due = one.last + 1
    if due < end:
        yield due, end - 1


def _cut(gap: tuple[int, int], begin: int) -> Iterator[tuple[int, int]]:
    """Cut a gap in two where Kafka's records begin inside it."""
    first, last = gap
    if first < begin <= last:
        yield first, begin - 1
        first = begin
    yield first, last


def _sum(one: OffsetRange, other: OffsetRange) -> OffsetRange:
    return OffsetRange(
        first=one.first,
        last=max(one.last, other.last),
        records=one.records + other.records,
        accepted=one.accepted + other.accepted,
        rejected=one.rejected + other.rejected,
    )
