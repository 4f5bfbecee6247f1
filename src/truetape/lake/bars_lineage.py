"""The basis of a session's bars: which version of `raw` each recompute read, and for which symbols.

Written in two steps. Before a recompute reads `raw`, its session is watched: whatever is archived
for it from then on is marked dirty. When its bars are written, its basis is recorded, so that a
publication knows which marks they settle. Reads Delta's files directly, without Spark.
"""

import time
from dataclasses import asdict, dataclass
from datetime import date

from truetape.lake.delta import append_rows, open_or_none, open_table, read_rows
from truetape.lake.tables import Table, session_filters
from truetape.market.sessions import Session

_NONE_YET = -1


@dataclass(frozen=True, slots=True)
class Basis:
    """One recompute of a session. `symbols` is None where all of it was recomputed.

    `bars_version` is one of the lake's `bars` that holds the outcome.
    """

    raw_id: str
    raw_version: int
    bars_version: int
    symbols: tuple[str, ...] | None
    recorded_ns: int

    def holds(self, symbol: str, raw_id: str, raw_version: int) -> bool:
        """Say whether these bars know what a version of `raw` has of a symbol."""
        mine = self.symbols is None or symbol in self.symbols
        return mine and (self.raw_id != raw_id or self.raw_version >= raw_version)


def watch(lake: str, session: Session) -> None:
    """Have what is archived for a session marked from now on; safe to repeat."""
    if (session.venue, session.date) not in watched(lake):
        _append(lake, session, Basis("", _NONE_YET, _NONE_YET, None, time.time_ns()))


def watched(lake: str) -> frozenset[tuple[str, date]]:
    """Return every venue and session date that was ever recomputed, from the table's log alone."""
    table = open_or_none(lake, Table.BARS_LINEAGE)
    parts = [] if table is None else table.partitions()
    return frozenset((part["venue"], date.fromisoformat(str(part["session"]))) for part in parts)


def raw_now(lake: str) -> tuple[str, int]:
    """Return the id of `raw` and its newest version; ConfigError where there is no `raw`."""
    table = open_table(lake, Table.RAW)
    return table.metadata().id, table.version()


def record(
    lake: str, session: Session, raw: tuple[str, int], symbols: tuple[str, ...] | None
) -> None:
    """Record what a session's bars, which are written by now, were recomputed from."""
    version = open_table(lake, Table.BARS).version()
    _append(lake, session, Basis(*raw, version, symbols, time.time_ns()))


def bases(lake: str, session: Session) -> list[Basis]:
    """Return the recomputes of a session, oldest first."""
    rows = read_rows(lake, Table.BARS_LINEAGE, session_filters(session), list(Basis.__slots__))
    found = [
        Basis(**row | {"symbols": None if row["symbols"] is None else tuple(row["symbols"])})
        for row in rows
        if row["raw_version"] != _NONE_YET
    ]
    return sorted(found, key=lambda one: one.recorded_ns)


def profiles_of(lake: str, session: Session) -> frozenset[tuple[str, int]]:
    """Return the profiles, by id and version, that a session's bars in the lake were made with."""
    table = open_or_none(lake, Table.BARS)
    if table is None:
        return frozenset()
    names = ["profile", "profile_version"]
    rows = table.to_pyarrow_table(filters=session_filters(session), columns=names)
    pairs = rows.group_by(names).aggregate([]).to_pylist()
    return frozenset((one["profile"], one["profile_version"]) for one in pairs)


def _append(lake: str, session: Session, basis: Basis) -> None:
    row = {"venue": session.venue, "session": session.date} | asdict(basis)
    append_rows(lake, Table.BARS_LINEAGE, [row])
