"""The basis of a session's bars: which version of `raw` each recompute read, for which symbols.

Written in two steps. Before a recompute reads `raw`, its session is watched: events archived for it
from then on are marked dirty. After its bars are written, its basis is recorded, so that a
publication knows which marks it clears. Does not read bars or events.
"""

import time
from dataclasses import asdict, dataclass
from datetime import date

from truetape.lake.delta import append_rows, open_or_none, open_table, read_rows
from truetape.lake.tables import Table, session_filters
from truetape.market.sessions import Session

_NONE_YET = -1


@dataclass(frozen=True, slots=True)
class RecomputeBasis:
    """One recompute of a session. `symbols` is None if all symbols were recomputed.

    `bars_version`: a version of the lake's `bars` that has the result.
    """

    raw_id: str
    raw_version: int
    bars_version: int
    symbols: tuple[str, ...] | None
    recorded_ns: int

    def includes(self, symbol: str, raw_id: str, raw_version: int) -> bool:
        """True if these bars include the events of a symbol in a version of `raw`."""
        is_recomputed = self.symbols is None or symbol in self.symbols
        return is_recomputed and (self.raw_id != raw_id or self.raw_version >= raw_version)


def watch(lake: str, session: Session) -> None:
    """Have events archived for a session marked dirty from now on; safe to repeat."""
    if (session.venue, session.date) not in watched(lake):
        _append(lake, session, RecomputeBasis("", _NONE_YET, _NONE_YET, None, time.time_ns()))


def watched(lake: str) -> frozenset[tuple[str, date]]:
    """Return the venue and date of every session ever recomputed. Reads the table's log only."""
    table = open_or_none(lake, Table.BARS_LINEAGE)
    parts = [] if table is None else table.partitions()
    return frozenset((part["venue"], date.fromisoformat(str(part["session"]))) for part in parts)


def current_raw(lake: str) -> tuple[str, int]:
    """Return the id of `raw` and its newest version. Raise ConfigError if there is no `raw`."""
    table = open_table(lake, Table.RAW)
    return table.id(), table.version()


def record_basis(
    lake: str, session: Session, raw: tuple[str, int], symbols: tuple[str, ...] | None
) -> None:
    """Record which `raw` a session's bars were recomputed from. Call it after they are written."""
    version = open_table(lake, Table.BARS).version()
    _append(lake, session, RecomputeBasis(*raw, version, symbols, time.time_ns()))


def recompute_bases(lake: str, session: Session) -> list[RecomputeBasis]:
    """Return the basis of each recompute of a session, oldest first."""
    columns = list(RecomputeBasis.__slots__)
    rows = read_rows(lake, Table.BARS_LINEAGE, session_filters(session), columns)
    bases = [
        RecomputeBasis(
            **row | {"symbols": None if row["symbols"] is None else tuple(row["symbols"])}
        )
        for row in rows
        if row["raw_version"] != _NONE_YET
    ]
    return sorted(bases, key=lambda basis: basis.recorded_ns)


def newest_bars_versions(lake: str, venue: str) -> dict[date, int]:
    """Return the version of the lake's `bars` that has the newest recompute, by session."""
    columns = ["session", "raw_version", "bars_version", "recorded_ns"]
    rows = read_rows(lake, Table.BARS_LINEAGE, [("venue", "=", venue)], columns)
    recomputes = [row for row in rows if row["raw_version"] != _NONE_YET]
    recomputes.sort(key=lambda row: row["recorded_ns"])
    return {row["session"]: row["bars_version"] for row in recomputes}


def profiles_of(lake: str, session: Session) -> frozenset[tuple[str, int]]:
    """Return the profiles, by id and version, that made a session's bars in the lake."""
    table = open_or_none(lake, Table.BARS)
    if table is None:
        return frozenset()
    columns = ["profile", "profile_version"]
    rows = table.rows(filters=session_filters(session), columns=columns)
    pairs = rows.group_by(columns).aggregate([]).to_pylist()
    return frozenset((pair["profile"], pair["profile_version"]) for pair in pairs)


def _append(lake: str, session: Session, basis: RecomputeBasis) -> None:
    row = {"venue": session.venue, "session": session.date} | asdict(basis)
    append_rows(lake, Table.BARS_LINEAGE, [row])
