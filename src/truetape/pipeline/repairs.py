"""Dirty sessions, and whether each one is due for repair. Repairs nothing itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from truetape.host import calendars
from truetape.host.venues import venues
from truetape.lake.dirty import DirtyMark, pending_marks
from truetape.lake.publications import Publication, publications
from truetape.publish.revert import revert_in_force


class RepairState(StrEnum):
    """Whether a dirty session is due for repair, or why not."""

    DUE = "due"
    UNPUBLISHED = "never published: its own recompute publishes it"
    HELD = "held by a revert: publish it with a reason, or leave it"


@dataclass(frozen=True, slots=True)
class DirtySession:
    """A session for which trades or amendments were archived after its last recompute."""

    venue: str
    day: date
    state: RepairState
    symbols: tuple[str, ...]
    trades: int
    amendments: int


PublicationsOf = Callable[[str, date], Sequence[Publication]]


def group_marks(
    marks: Iterable[DirtyMark], publications_of: PublicationsOf
) -> Iterator[DirtySession]:
    """Yield the dirty sessions that the marks name, oldest first."""
    by_session: dict[tuple[date, str], list[DirtyMark]] = {}
    for mark in marks:
        by_session.setdefault((mark.session, mark.venue), []).append(mark)
    for (day, venue), group in sorted(by_session.items()):
        published = publications_of(venue, day)
        held = revert_in_force(published) is not None
        yield DirtySession(
            venue,
            day,
            RepairState.HELD if held else RepairState.DUE if published else RepairState.UNPUBLISHED,
            tuple(sorted({mark.symbol for mark in group})),
            sum(mark.trades for mark in group),
            sum(mark.amendments for mark in group),
        )


def dirty_sessions(lake: str) -> list[DirtySession]:
    """Return every dirty session of a lake."""
    by_code = venues()

    def publications_of(venue: str, day: date) -> list[Publication]:
        return publications(lake, calendars.session(by_code[venue], day))

    return list(group_marks(pending_marks(lake), publications_of))
