"""Dirty marks: symbols of a recomputed session for which the archive has brought something since.

A mark is taken away by the publication of bars that know what it is about, never by the recompute
that made them. Reads and writes Delta's files directly, without Spark.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING

from truetape.host.errors import TransientError
from truetape.lake.bars_lineage import Basis
from truetape.lake.tables import quoted, session_filters, session_where, table_path
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import pyarrow

TABLE = "dirty"
MARKS_PER_WRITE = 100_000
"""Bounds the marks held in memory, about 50 MB."""
MAX_TRIES = 5
"""How often a mark is taken away anew because an archive has marked meanwhile."""


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
    from deltalake import write_deltalake

    remaining, count = iter(marks), 0
    while some := list(islice(remaining, MARKS_PER_WRITE)):
        write_deltalake(_path(lake), _table(some), mode="append", partition_by=["venue", "session"])
        count += len(some)
    return count


def pending(lake: str, session: Session | None = None) -> list[Mark]:
    """Return the marks of a session, or of all, by session, symbol and age."""
    from deltalake import DeltaTable

    path = _path(lake)
    if not DeltaTable.is_deltatable(path):
        return []
    chosen = None if session is None else session_filters(session)
    rows = DeltaTable(path).to_pyarrow_table(filters=chosen).to_pylist()
    marks = (Mark(**row) for row in rows)
    return sorted(marks, key=lambda one: (one.venue, one.session, one.symbol, one.marked_ns))


def settle(lake: str, session: Session, bases: Iterable[Basis]) -> list[Mark]:
    """Take away the marks that a session's published bars know; return those that stay.

    `bases` are the recomputes that these bars hold, read before the bars were.
    """
    marks, known = pending(lake, session), list(bases)
    if any(is_settled(one, known) for one in marks):
        for basis in known:
            _delete(lake, _about(session, basis))
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


def _delete(lake: str, condition: str) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    for _ in range(MAX_TRIES):
        try:
            DeltaTable(_path(lake)).delete(condition)
        except CommitFailedError:
            continue
        return
    raise TransientError(f"{_path(lake)}: others wrote {MAX_TRIES} times meanwhile; try again")


def _table(marks: list[Mark]) -> "pyarrow.Table":
    import pyarrow

    text, whole = pyarrow.string(), pyarrow.int64()
    schema = pyarrow.schema(
        [
            ("venue", text), ("session", pyarrow.date32()), ("symbol", text), ("trades", whole),
            ("amendments", whole), ("raw_id", text), ("raw_version", whole), ("marked_ns", whole),
        ]
    )  # fmt: skip
    return pyarrow.Table.from_pylist([asdict(one) for one in marks], schema=schema)


def _path(lake: str) -> str:
    return table_path(lake, TABLE)
