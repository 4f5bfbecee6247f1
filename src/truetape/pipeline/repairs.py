"""Dirty sessions, and what is to be done about each. Decides; repairs nothing itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from truetape.host import calendars
from truetape.host.venues import venues
from truetape.lake.dirty import Mark, pending
from truetape.lake.publications import Publication, publications
from truetape.publish.revert import revert_in_force


class RepairState(StrEnum):
    """Whether a dirty session is repaired, or what that waits for."""

    DUE = "due"
    UNPUBLISHED = "never published: its own recompute brings it"
    HELD = "held by a revert: publish it with a reason, or leave it"


@dataclass(frozen=True, slots=True)
class DirtySession:
    """A session with symbols for which something was archived after it was recomputed."""

    venue: str
    day: date
    state: RepairState
    symbols: tuple[str, ...]
    trades: int
    amendments: int


PublicationsOf = Callable[[str, date], Sequence[Publication]]


def group_marks(marks: Iterable[Mark], past: PublicationsOf) -> Iterator[DirtySession]:
    """Yield each session that has marks, oldest first, and what becomes of it."""
    groups: dict[tuple[date, str], list[Mark]] = {}
    for mark in marks:
        groups.setdefault((mark.session, mark.venue), []).append(mark)
    for (day, venue), some in sorted(groups.items()):
        published = past(venue, day)
        held = revert_in_force(published) is not None
        yield DirtySession(
            venue,
            day,
            RepairState.HELD if held else RepairState.DUE if published else RepairState.UNPUBLISHED,
            tuple(sorted({mark.symbol for mark in some})),
            sum(mark.trades for mark in some),
            sum(mark.amendments for mark in some),
        )


def dirty_sessions(lake: str) -> list[DirtySession]:
    """Return every dirty session of a lake."""
    known = venues()

    def past(venue: str, day: date) -> list[Publication]:
        return publications(lake, calendars.session(known[venue], day))

    return list(group_marks(pending(lake), past))
