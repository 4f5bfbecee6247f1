"""Filling: bars for intervals of the regular session in which nothing was traded.

Reads no bars, and asks no calendar: the caller knows the starts that bars can have.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar


class Placed(Protocol):
    """A bar of a symbol on a venue."""

    @property
    def symbol(self) -> str: ...

    @property
    def venue(self) -> str: ...

    @property
    def start_ns(self) -> int: ...


AnyBar = TypeVar("AnyBar", bound=Placed)
Starts = Callable[[str, int, int | None], Iterable[int]]
"""Return the starts that bars of a venue can have, between two others; without the second, up to
the close of the first one's session."""


def filled(
    bars: Iterable[AnyBar], starts: Starts, empty: Callable[[AnyBar, int, AnyBar | None], AnyBar]
) -> Iterator[AnyBar]:
    """Yield bars, ordered by symbol, venue and start, and one for each empty interval between them.

    `empty` makes a bar of the bar before it, its start, and the bar after it, None at the end.
    Before the first bar of a symbol on a venue nothing is filled: no close is known there.
    """
    before: AnyBar | None = None
    for bar in bars:
        if before is not None:
            follows = (before.symbol, before.venue) == (bar.symbol, bar.venue)
            after = bar if follows else None
            yield from _between(before, after, starts, empty)
        yield bar
        before = bar
    if before is not None:
        yield from _between(before, None, starts, empty)


def _between(
    before: AnyBar,
    after: AnyBar | None,
    starts: Starts,
    empty: Callable[[AnyBar, int, AnyBar | None], AnyBar],
) -> Iterator[AnyBar]:
    end_ns = None if after is None else after.start_ns
    for start in starts(before.venue, before.start_ns, end_ns):
        yield empty(before, start, after)
