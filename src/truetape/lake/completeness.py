"""Offsets of a topic: which ones the lake has, which ones Kafka has, and the holes. Does no I/O.

Kafka numbers the records of a partition from 0. So every offset below its end that the lake lacks
is missing: at the start, in the middle, at the end, or all of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from truetape.market.ranges import Range, Ranges, merge

CountedRanges = Mapping[int, Sequence["CountedRange"]]
"""Counted ranges by partition, ascending and never adjacent, as `joined` makes them."""


@dataclass(frozen=True, slots=True)
class CountedRange:
    """A range of offsets without a gap, and what its records contain.

    There are more `records` than offsets if the lake has a record more than once.
    """

    offsets: Range
    records: int
    accepted: int
    rejected: int
    last_ms: int | None = field(default=None, compare=False)
    """Kafka's stamp of the last record, in milliseconds; None if an older version counted."""

    @property
    def start(self) -> int:
        """Return the first offset."""
        return self.offsets.start

    @property
    def end(self) -> int:
        """Return the offset after the last one."""
        return self.offsets.end


@dataclass(frozen=True, slots=True)
class Hole:
    """A range of offsets of one partition that the lake should have and lacks.

    `recoverable` means that Kafka still has all of them. Otherwise Kafka has none of them, and they
    are lost. A gap of both kinds is reported as two holes.
    """

    topic: str
    partition: int
    offsets: Range
    recoverable: bool


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the lake has of one partition, and what it lacks. `topic` is the name of its log: the
    topic's own, or that of a generation.
    """

    topic: str
    partition: int
    ranges: tuple[CountedRange, ...]
    holes: tuple[Hole, ...]

    @property
    def first(self) -> int | None:
        """Return the first offset in the lake, None if there is none."""
        return self.ranges[0].start if self.ranges else None

    @property
    def last(self) -> int | None:
        """Return the last offset in the lake, None if there is none."""
        return self.ranges[-1].offsets.last if self.ranges else None

    @property
    def records(self) -> int:
        """Return how many records the lake has, repeated ones included."""
        return sum(counted.records for counted in self.ranges)

    @property
    def repeated(self) -> int:
        """Return how many records the lake has more than once."""
        return self.records - sum(counted.offsets.size for counted in self.ranges)


def completeness(
    log_of: Callable[[int], str], counted: CountedRanges, kafka: Mapping[int, Range]
) -> list[Completeness]:
    """Find the holes of each partition. `kafka`: the offsets that Kafka still has; `log_of` gives
    the name of a partition's log.
    """
    return [
        of_log(log_of(partition), partition, counted.get(partition, ()), kafka.get(partition))
        for partition in sorted(counted.keys() | kafka.keys())
    ]


def of_log(
    log: str, partition: int, ranges: Sequence[CountedRange], kafka: Range | None
) -> Completeness:
    """Find the holes of one partition of a log. `kafka`: the offsets that Kafka still has of it."""
    available = kafka or Range(0, 0)
    end = max(available.end, *(counted.end for counted in ranges), 0)
    missing = Ranges.between(0, end) - offsets_of(ranges)
    lost = missing if kafka is None else missing & Ranges.between(0, available.start)
    holes = [Hole(log, partition, part, recoverable=False) for part in lost]
    holes += [Hole(log, partition, part, recoverable=True) for part in missing - lost]
    holes.sort(key=lambda hole: hole.offsets)
    return Completeness(log, partition, tuple(ranges), tuple(holes))


def joined(ranges: Iterable[CountedRange]) -> tuple[CountedRange, ...]:
    """Merge ranges that touch or overlap. Where they overlap, the lake has records repeatedly."""
    return tuple(merge(ranges, _sum))


def offsets_of(ranges: Iterable[CountedRange]) -> Ranges:
    """Return which offsets the ranges hold."""
    return Ranges(counted.offsets for counted in ranges)


def _sum(earlier: CountedRange, later: CountedRange) -> CountedRange:
    last = later if later.end >= earlier.end else earlier
    return CountedRange(
        Range(earlier.start, max(earlier.end, later.end)),
        records=earlier.records + later.records,
        accepted=earlier.accepted + later.accepted,
        rejected=earlier.rejected + later.rejected,
        last_ms=last.last_ms,
    )
