"""Offsets as people and forms write them: `0:100-200,3:12`, both ends included. Does no I/O."""

import re
from collections.abc import Iterable, Mapping, Sequence

from truetape.host.errors import ConfigError
from truetape.market.ranges import Range, Ranges

MAX_OFFSET = 2**63 - 2
_ENTRY = re.compile(r"(\d{1,9}):(\d{1,19})(?:-(\d{1,19}))?", re.ASCII)


def parse_offsets(text: str) -> dict[int, Ranges]:
    """Parse `0:100-200,3:5-9,3:12`: partition, first and last offset.

    Raise ConfigError, which names the entry, if the text is anything else.
    """
    pairs: dict[int, list[tuple[int, int]]] = {}
    for entry in text.replace(" ", "").split(","):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ConfigError(
                f"offsets {entry!r}: write PARTITION:FIRST-LAST, both included, such as 0:100-200"
            )
        partition, first, last = match.groups()
        pair = int(first), int(first if last is None else last)
        pairs.setdefault(int(partition), []).append(pair)
    return {partition: from_pairs(pairs[partition]) for partition in sorted(pairs)}


def format_offsets(offsets: Mapping[int, Ranges]) -> str:
    """Write offsets in the form that `parse_offsets` reads."""
    return ",".join(
        f"{partition}:{part.start}-{part.last}"
        for partition in sorted(offsets)
        for part in offsets[partition]
    )


def from_pairs(pairs: Iterable[Sequence[int]]) -> Ranges:
    """Build a set from (first, last) pairs. Raise ConfigError if a pair is no range of offsets."""
    ranges = []
    for first, last in pairs:
        if not 0 <= first <= last <= MAX_OFFSET:
            raise ConfigError(f"offsets {first} to {last}: give the first one first")
        ranges.append(Range(first, last + 1))
    return Ranges(ranges)


def to_pairs(offsets: Ranges) -> list[list[int]]:
    """Write a set as [first, last] pairs, for JSON."""
    return [[part.start, part.last] for part in offsets]
