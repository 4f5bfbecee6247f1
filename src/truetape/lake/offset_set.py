"""Stretches: sets of one partition's offsets, written by their ends. Does no I/O.

A set is a tuple of stretches, ascending, none of which touch. What lies in the lake is an
`OffsetRange` (`offsets`), which also says what it holds; a stretch says where, no more.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from truetape.host.errors import ConfigError

_MAX_OFFSET = 2**63 - 2
_ENTRY = re.compile(r"(\d{1,9}):(\d{1,19})(?:-(\d{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Consecutive offsets from `first` to `last`, both included; never empty."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= _MAX_OFFSET:
            raise ConfigError(f"offsets {self.first} to {self.last}: give the first one first")

    @property
    def size(self) -> int:
        """Return how many offsets these are."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


Stretches: TypeAlias = tuple[Stretch, ...]
"""Ascending, disjoint, and with an offset between any two, as `merged` makes them."""


def below(end: int, begin: int = 0) -> Stretches:
    """Return the offsets from `begin` to the one before `end`, none where `begin` is not below."""
    return (Stretch(begin, end - 1),) if begin < end else ()


def merged(stretches: Iterable[Stretch]) -> Stretches:
    """Return what lies in any of the stretches, which may overlap and have any order."""
    found: list[Stretch] = []
    for one in sorted(stretches):
        if found and one.first <= found[-1].last + 1:
            found[-1] = Stretch(found[-1].first, max(found[-1].last, one.last))
        else:
            found.append(one)
    return tuple(found)


def common(some: Stretches, others: Stretches) -> Stretches:
    """Return what lies in both sets; takes as many steps as they have stretches."""
    found = []
    left, right = 0, 0
    while left < len(some) and right < len(others):
        first = max(some[left].first, others[right].first)
        last = min(some[left].last, others[right].last)
        if first <= last:
            found.append(Stretch(first, last))
        if some[left].last < others[right].last:
            left += 1
        else:
            right += 1
    return tuple(found)


def without(some: Stretches, others: Stretches) -> Stretches:
    """Return what lies in `some` and not in `others`."""
    return common(some, _around(others))


def size(stretches: Iterable[Stretch]) -> int:
    """Return how many offsets these are."""
    return sum(one.size for one in stretches)


def covered(stretches: Stretches, most: int) -> Stretches:
    """Return at most `most` stretches that hold all of these, closing the smallest gaps first."""
    gaps = sorted(
        range(1, len(stretches)),
        key=lambda place: stretches[place].first - stretches[place - 1].last,
        reverse=True,
    )
    begins = [0, *sorted(gaps[: most - 1])]
    ends = [*begins[1:], len(stretches)]
    return tuple(
        Stretch(stretches[begin].first, stretches[end - 1].last)
        for begin, end in zip(begins, ends, strict=True)
        if begin < end
    )


def parse(text: str) -> dict[int, Stretches]:
    """Read `0:100-200,3:5-9,3:12`: partition, first and last offset; ConfigError says what is
    wrong.
    """
    found: dict[int, list[Stretch]] = {}
    for entry in text.replace(" ", "").split(","):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ConfigError(
                f"offsets {entry!r}: write PARTITION:FIRST-LAST, both included, such as 0:100-200"
            )
        partition, first, last = match.groups()
        stretch = Stretch(int(first), int(first if last is None else last))
        found.setdefault(int(partition), []).append(stretch)
    return {partition: merged(found[partition]) for partition in sorted(found)}


def text_of(offsets: Mapping[int, Sequence[Stretch]]) -> str:
    """Write offsets the way `parse` reads them."""
    return ",".join(
        f"{partition}:{one.first}-{one.last}"
        for partition in sorted(offsets)
        for one in offsets[partition]
    )


def _around(stretches: Stretches) -> Stretches:
    """Return every offset that lies in none of the stretches."""
    ends = [-1, *(one.last for one in stretches)]
    begins = [*(one.first for one in stretches), _MAX_OFFSET + 1]
    return tuple(
        Stretch(end + 1, begin - 1)
        for end, begin in zip(ends, begins, strict=True)
        if end + 1 < begin
    )
