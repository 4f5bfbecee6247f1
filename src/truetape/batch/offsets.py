"""Offsets of a topic: what the lake holds, what Kafka has, and the holes between. Does no I/O.

Kafka numbers the records of a partition from 0, so whatever lies below its end and is not held is
missing: at the start, in the middle, at the end, or all of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Spans = Mapping[int, Sequence["Span"]]
"""Spans by partition, ascending and never adjacent, as `joined` makes them."""


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets `first` to `last`, none of them missing, and what their records hold.

    There are more `records` than offsets where a record lies in the lake more than once.
    """

    first: int
    last: int
    records: int
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What Kafka has of a partition: from offset `begin` to the one before `end`."""

    begin: int
    end: int


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
    spans: tuple[Span, ...]
    holes: tuple[Hole, ...]

    @property
    def first(self) -> int | None:
        """Return the first offset held, None when there is none."""
        return self.spans[0].first if self.spans else None

    @property
    def last(self) -> int | None:
        """Return the last offset held, None when there is none."""
        return self.spans[-1].last if self.spans else None

    @property
    def records(self) -> int:
        """Return how many records the lake holds, repeated ones included."""
        return sum(span.records for span in self.spans)

    @property
    def repeated(self) -> int:
        """Return how many of the records the lake should not hold, since it has them already."""
        return self.records - sum(span.last - span.first + 1 for span in self.spans)


def completeness(topic: str, held: Spans, kafka: Mapping[int, Kept]) -> list[Completeness]:
    """Name the holes of each partition that the lake or Kafka knows, in their order."""
    return [
        _of_partition(topic, partition, held.get(partition, ()), kafka.get(partition))
        for partition in sorted(held.keys() | kafka.keys())
    ]


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Merge spans that touch or overlap; where they overlap, records are held more than once."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda item: item.first):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = _sum(merged[-1], span)
        else:
            merged.append(span)
    return tuple(merged)


def _of_partition(
    topic: str, partition: int, spans: Sequence[Span], kept: Kept | None
) -> Completeness:
    begin, end = (0, 0) if kept is None else (kept.begin, kept.end)
    holes = [
        Hole(topic, partition, first, last, recoverable=kept is not None and begin <= first)
        for gap in _gaps(spans, end)
        for first, last in _cut(gap, begin)
    ]
    return Completeness(topic, partition, tuple(spans), tuple(holes))


def _gaps(spans: Sequence[Span], end: int) -> Iterator[tuple[int, int]]:
    due = 0
    for span in spans:
        if due < span.first:
            yield due, span.first - 1
        due = span.last + 1
    if due < end:
        yield due, end - 1


def _cut(gap: tuple[int, int], begin: int) -> Iterator[tuple[int, int]]:
    """Cut a gap in two where Kafka's records begin inside it."""
    first, last = gap
    if first < begin <= last:
        yield first, begin - 1
        first = begin
    yield first, last


def _sum(one: Span, other: Span) -> Span:
    return Span(
        first=one.first,
        last=max(one.last, other.last),
        records=one.records + other.records,
        accepted=one.accepted + other.accepted,
        rejected=one.rejected + other.rejected,
    )
