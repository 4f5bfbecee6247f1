"""File names: the symbol and the date that a contract says they have. Guesses neither.

Opens no file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import PurePath

PACKED = (".gz", ".bz2", ".zst", ".zip")
SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", *PACKED)
"""How the names of trade files end; a pattern is for a name without them."""
GROUPS = {"symbol", "date"}
_COPY = re.compile(r" \([0-9]+\)\Z")
"""What browsers add to the name of a file that was downloaded again."""
_DATE = re.compile(r"([0-9]{4})-?([0-9]{2})(?:-?([0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class NameParts:
    """What a file's name says: the symbol, and the day; None where it does not say it."""

    symbol: str | None = None
    day: date | None = None


def check_pattern(text: str) -> str:
    """Return a pattern. Raise ValueError if it is no regular expression, or has other groups."""
    try:
        groups = re.compile(text).groupindex.keys()
    except re.error as error:
        raise ValueError(f"is {text!r}, which is no regular expression: {error}") from None
    if not groups or groups - GROUPS:
        raise ValueError(f"is {text!r}; name groups (?P<symbol>…), (?P<date>…) or both")
    return text


def parts_of(names: Sequence[str], patterns: Sequence[str]) -> NameParts:
    """Return what the first pattern says that fits one of the names; the names come first.

    A pattern fits the end of a path, from the beginning of a folder's or a file's name, without the
    suffixes. A date is 2025-01-02 or 20250102; a month, as 2025-01, gives no day. Nothing is said
    by a name with an impossible date.
    """
    for name in names:
        stem = _stem(name)
        for pattern in patterns:
            match = _compiled(pattern).search(stem)
            if match is not None:
                found = match.groupdict()
                return NameParts(found.get("symbol"), _day(found.get("date")))
    return NameParts()


def has_suffix(name: str) -> bool:
    """True if a name ends as the names of trade files do."""
    return PurePath(name).suffix.lower() in SUFFIXES


def _stem(name: str) -> str:
    while has_suffix(name):
        name = name[: -len(PurePath(name).suffix)]
    return _COPY.sub("", name.replace("\\", "/"))


def _day(text: str | None) -> date | None:
    match = _DATE.fullmatch(text) if text else None
    if match is None or match[3] is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:\A|/)(?:{pattern})\Z")
