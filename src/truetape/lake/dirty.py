"""Dirty marks: symbols of a recomputed session for which the archive has new events.

Does not find them (`batch.dirty_marking` does). A mark is cleared by the publication of bars that
include its events, never by the recompute of these bars.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice

from truetape.host.sql import quoted
from truetape.lake.bars_lineage import RecomputeBasis
from truetape.lake.delta import append_rows, delete_rows, read_rows
from truetape.lake.tables import Table, session_filters, session_where
from truetape.market.sessions import Session

MARKS_PER_WRITE = 100_000
"""Bounds the marks in memory, about 50 MB."""


@dataclass(frozen=True, slots=True)
class DirtyMark:
    """New events of one symbol of a session. They are in `raw_version` or an earlier one."""

    venue: str
    session: date
    symbol: str
    trades: int
    amendments: int
    raw_id: str
    raw_version: int
    marked_ns: int


def add_marks(lake: str, marks: Iterable[DirtyMark]) -> int:
    """Append marks; return how many. A mark written twice costs one repair too many, no more."""
    remaining, count = iter(marks), 0
    while batch := list(islice(remaining, MARKS_PER_WRITE)):
        append_rows(lake, Table.DIRTY, map(asdict, batch))
        count += len(batch)
    return count


def pending_marks(lake: str, session: Session | None = None) -> list[DirtyMark]:
    """Return the marks of a session, or all marks, by session, symbol and age."""
    filters = None if session is None else session_filters(session)
    marks = [DirtyMark(**row) for row in read_rows(lake, Table.DIRTY, filters)]
    return sorted(marks, key=lambda mark: (mark.venue, mark.session, mark.symbol, mark.marked_ns))


def clear_marks(lake: str, session: Session, bases: Iterable[RecomputeBasis]) -> list[DirtyMark]:
    """Delete the marks whose events a session's published bars include; return the marks left.

    `bases`: the recomputes that made these bars. Read them before the bars.
    """
    marks, published = pending_marks(lake, session), list(bases)
    if any(is_included(mark, published) for mark in marks):
        for basis in published:
            delete_rows(lake, Table.DIRTY, _included_where(session, basis))
    return pending_marks(lake, session)


def is_included(mark: DirtyMark, bases: Iterable[RecomputeBasis]) -> bool:
    """True if one of these recomputes has read the events of a mark."""
    return any(basis.includes(mark.symbol, mark.raw_id, mark.raw_version) for basis in bases)


def _included_where(session: Session, basis: RecomputeBasis) -> str:
    """Return the rule of `RecomputeBasis.includes` as an SQL condition."""
    terms = [
        session_where(session),
        f"(raw_id != '{basis.raw_id}' OR raw_version <= {basis.raw_version})",
    ]
    if basis.symbols is not None:
        terms.append(f"symbol IN ({', '.join(map(quoted, basis.symbols))})")
    return " AND ".join(terms)
