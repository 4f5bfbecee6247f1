"""Half-open ranges of whole numbers, and sets of them: offsets of a partition, or nanoseconds.

Knows neither Kafka nor clocks. Python's own `range` has no union and no difference.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar


class HasEnds(Protocol):
    """Anything that extends from `start` up to, but not including, `end`."""

    @property
    def start(self) -> int:
        """Return the first number."""
        ...

    @property
    def end(self) -> int:
        """Return the number after the last one."""
        ...


Item = TypeVar("Item", bound=HasEnds)


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """The whole numbers from `start` up to, but not including, `end`. Empty if both are equal."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError(f"a range from {self.start} cannot end before it, at {self.end}")

    @property
    def last(self) -> int:
        """Return the last number of a range that is not empty."""
        return self.end - 1

    @property
    def size(self) -> int:
        """Return how many numbers are in the range."""
        return self.end - self.start

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.end

    def covers(self, other: Self) -> bool:
        """True if every number of `other` is in this range."""
        return self.start <= other.start and other.end <= self.end

    def __str__(self) -> str:
        return f"{self.start} to {self.last}"


@dataclass(frozen=True, slots=True, init=False)
class Ranges:
    """A set of whole numbers, stored as ascending ranges that neither overlap nor touch."""

    parts: tuple[Range, ...]

    def __init__(self, parts: Iterable[Range] = ()) -> None:
        """Build the set from ranges in any order; they may overlap, touch and be empty."""
        filled = (part for part in parts if part.size)
        object.__setattr__(self, "parts", tuple(merge(filled, _hull)))

    @classmethod
    def between(cls, start: int, end: int) -> Self:
        """Return the numbers from `start` to the one before `end`; none unless start < end."""
        return cls([Range(start, end)] if start < end else [])

    @property
    def size(self) -> int:
        """Return how many numbers are in the set."""
        return sum(part.size for part in self.parts)

    def __iter__(self) -> Iterator[Range]:
        return iter(self.parts)

    def __len__(self) -> int:
        """Return how many ranges the set consists of."""
        return len(self.parts)

    def __contains__(self, number: int) -> bool:
        return any(number in part for part in self.parts)

    def __or__(self, other: Self) -> Self:
        return type(self)((*self.parts, *other.parts))

    def __and__(self, other: Self) -> Self:
        """Return the numbers in both sets, in as many steps as they have ranges."""
        shared = []
        left, right = 0, 0
        while left < len(self.parts) and right < len(other.parts):
            mine, theirs = self.parts[left], other.parts[right]
            start, end = max(mine.start, theirs.start), min(mine.end, theirs.end)
            if start < end:
                shared.append(Range(start, end))
            if mine.end < theirs.end:
                left += 1
            else:
                right += 1
        return type(self)(shared)

    def __sub__(self, other: Self) -> Self:
        """Return the numbers of this set that the other one lacks."""
        if not self.parts:
            return self
        whole = Range(self.parts[0].start, self.parts[-1].end)
        return self & other._complement(whole)

    def coarsened(self, max_parts: int) -> Self:
        """Return at most `max_parts` ranges that contain the whole set. The smallest gaps are
        closed first.
        """
        gaps = sorted(
            range(1, len(self.parts)),
            key=lambda place: self.parts[place].start - self.parts[place - 1].end,
            reverse=True,
        )
        starts = [0, *sorted(gaps[: max_parts - 1])]
        ends = [*starts[1:], len(self.parts)]
        return type(self)(
            Range(self.parts[start].start, self.parts[end - 1].end)
            for start, end in zip(starts, ends, strict=True)
            if start < end
        )

    def _complement(self, whole: Range) -> Self:
        """Return the numbers of `whole` that this set lacks."""
        starts = [whole.start, *(part.end for part in self.parts)]
        ends = [*(part.start for part in self.parts), whole.end]
        return type(self)(
            Range(start, end) for start, end in zip(starts, ends, strict=True) if start < end
        )


def merge(items: Iterable[Item], combine: Callable[[Item, Item], Item]) -> list[Item]:
    """Combine items that overlap or touch, ascending.

    `combine` gets the earlier item first and returns an item that covers both.
    """
    merged: list[Item] = []
    for item in sorted(items, key=lambda each: each.start):
        if merged and item.start <= merged[-1].end:
            merged[-1] = combine(merged[-1], item)
        else:
            merged.append(item)
    return merged


def _hull(earlier: Range, later: Range) -> Range:
    return Range(earlier.start, max(earlier.end, later.end))
