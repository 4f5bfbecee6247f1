"""Dirty marks: symbols of a recomputed session for which the archive has brought something since.

A mark is taken away by the publication of bars that know what it is about, never by the recompute
that made them. Reads and writes Delta's files directly, without Spark.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice

from truetape.lake.bars_lineage import Basis
from truetape.lake.delta import append_rows, delete_rows, read_rows
from truetape.lake.tables import Table, quoted, session_filters, session_where
from truetape.market.sessions import Session

MARKS_PER_WRITE = 100_000
"""Bounds the marks held in memory, about 50 MB."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something new for one symbol of a session. It lies in `raw_version`, or in one before."""

    venue: str
    session: date
    symbol: str
    trades: int
    amendments: int
    raw_id: str
    raw_version: int
    marked_ns: int


def mark(lake: str, marks: Iterable[Mark]) -> int:
    """Append marks; return how many they were. Made twice, one costs a repair too many, no more."""
    remaining, count = iter(marks), 0
    while some := list(islice(remaining, MARKS_PER_WRITE)):
        append_rows(lake, Table.DIRTY, map(asdict, some))
        count += len(some)
    return count


def pending(lake: str, session: Session | None = None) -> list[Mark]:
    """Return the marks of a session, or of all, by session, symbol and age."""
    filters = None if session is None else session_filters(session)
    marks = [Mark(**row) for row in read_rows(lake, Table.DIRTY, filters)]
    return sorted(marks, key=lambda one: (one.venue, one.session, one.symbol, one.marked_ns))


def settle(lake: str, session: Session, bases: Iterable[Basis]) -> list[Mark]:
    """Take away the marks that a session's published bars know; return those that stay.

    `bases` are the recomputes that these bars hold, read before the bars were.
    """
    marks, known = pending(lake, session), list(bases)
    if any(is_settled(one, known) for one in marks):
        for basis in known:
            delete_rows(lake, Table.DIRTY, _about(session, basis))
    return pending(lake, session)


def is_settled(mark: Mark, bases: Iterable[Basis]) -> bool:
    """Say whether one of these recomputes has read what a mark is about."""
    return any(one.holds(mark.symbol, mark.raw_id, mark.raw_version) for one in bases)


def _about(session: Session, basis: Basis) -> str:
    """Return which marks a recompute settles, as a condition; the same rule as `Basis.holds`."""
    terms = [
        session_where(session),
        f"(raw_id != '{basis.raw_id}' OR raw_version <= {basis.raw_version})",
    ]
    if basis.symbols is not None:
        terms.append(f"symbol IN ({', '.join(map(quoted, basis.symbols))})")
    return " AND ".join(terms)
