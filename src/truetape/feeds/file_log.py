"""File log: the files that gave no payload, and why, for people. Reads no file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

NAMED = 5
"""How many names of one kind are shown."""


@dataclass(slots=True)
class FileLog:
    """The files without a payload: `empty` ones by name, and those that were not read, by reason.

    A member of an archive is a file too.
    """

    empty: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, name: str, reason: str) -> None:
        """Record a file that is not read."""
        self.skipped.setdefault(reason, []).append(name)

    def add(self, other: "FileLog") -> None:
        """Add the files of another log."""
        self.empty += other.empty
        for reason, names in other.skipped.items():
            self.skipped.setdefault(reason, []).extend(names)

    def lines(self) -> Iterator[str]:
        """Yield what a person should know, skipped files first."""
        for reason, names in sorted(self.skipped.items()):
            yield f"skipped, {reason}: {listed(names)}"
        if self.empty:
            yield f"without a record: {listed(self.empty)}"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(_printable(name) for name in islice(names, NAMED)) + more


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
