"""Reads recomputed bars from the lake as they are to be served, and the ledger of publications,
without starting Spark.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, get_type_hints

from truetape.host.errors import ConfigError
from truetape.lake.bars_lineage import bases
from truetape.lake.tables import Filters, session_filters, table_path
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.store import ServedBar

if TYPE_CHECKING:
    import pyarrow

_COLUMNS = (
    "symbol", "venue", "resolution", "start_ns", "open", "high", "low", "close",
    "volume", "vwap", "trades", "seq", "served", "profile", "profile_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Publication:
    """One row of `publications`: what was made final, from which tables, by whom and why.

    `restores` is the rev that a revert brought back, 0 for all others. `raw_version` is that of the
    newest recompute, -1 where that is not known.
    """

    venue: str
    session: date
    rev: int
    as_of_ns: int
    published_ns: int
    digest: str
    bars: int
    edits: int
    voids: int
    code_version: str
    profile: str
    profile_version: int
    bars_version: int
    run_id: str
    who: str
    reason: str
    raw_version: int = -1
    restores: int = 0


@dataclass(frozen=True, slots=True)
class RecomputedSession:
    """The bars of one session in the lake, held as one Arrow table and read symbol by symbol."""

    session: Session
    table: "pyarrow.Table"
    version: int

    @property
    def symbols(self) -> list[str]:
        """Return the session's symbols, sorted."""
        return sorted(set(self.table.column("symbol").to_pylist()))

    @property
    def profile(self) -> tuple[str, int]:
        """Return the eligibility profile of these bars and its version."""
        if not self.table.num_rows:
            return "", 0
        first = self.table.slice(0, 1).to_pylist()[0]
        return first["profile"], first["profile_version"]

    def bars(self, resolution: Resolution, symbols: list[str] | None = None) -> Iterator[ServedBar]:
        """Yield the served bars of some symbols, ordered by symbol, venue and start."""
        import pyarrow.compute as pc

        chosen = pc.equal(self.table.column("resolution"), resolution.value)
        chosen = pc.and_(chosen, self.table.column("served"))
        if symbols is not None:
            chosen = pc.and_(chosen, pc.is_in(self.table.column("symbol"), _strings(symbols)))
        ordered = self.table.filter(chosen).sort_by(
            [("symbol", "ascending"), ("venue", "ascending"), ("start_ns", "ascending")]
        )
        for batch in ordered.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                yield _served(row)

    def unserved(self, resolution: Resolution, symbol: str) -> dict[int, Decimal]:
        """Return the volume of a symbol's bars without an eligible price, by start."""
        import pyarrow.compute as pc

        chosen = pc.and_not(
            pc.equal(self.table.column("resolution"), resolution.value),
            self.table.column("served"),
        )
        chosen = pc.and_(chosen, pc.equal(self.table.column("symbol"), symbol))
        rows = self.table.filter(chosen).select(["start_ns", "volume"]).to_pylist()
        return {row["start_ns"]: row["volume"] for row in rows}

    @property
    def count(self) -> int:
        """Return how many bars are served, of all resolutions."""
        import pyarrow.compute as pc

        return int(pc.sum(self.table.column("served")).as_py() or 0)

    def digest(self) -> str:
        """Return the digest of every served bar's exact values."""
        return digest_of(bar for resolution in Resolution for bar in self.bars(resolution))


def digest_of(bars: Iterable[ServedBar]) -> str:
    """Return a SHA-256 over bars as a recompute gives them: by resolution, symbol, venue, start;
    `rev` 0, not final.
    """
    total = hashlib.sha256()
    for bar in bars:
        total.update(repr(bar).encode())
    return total.hexdigest()


def recomputed(lake: str, session: Session) -> RecomputedSession:
    """Read a session's bars, none where it has no trades; ConfigError when it was never
    recomputed.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    path = table_path(lake, "bars")
    try:
        table = DeltaTable(path)
    except TableNotFoundError as error:
        raise ConfigError(f"no bars in {path}; run `truetape recompute` first") from error
    chosen = session_filters(session)
    rows = table.to_pyarrow_table(filters=chosen, columns=list(_COLUMNS))
    if not rows.num_rows and not bases(lake, session):
        raise ConfigError(
            f"{session.venue} {session.date} was not recomputed; "
            f"run `truetape recompute --venue {session.venue} --session {session.date}`"
        )
    return RecomputedSession(session, rows, table.version())


def publications(lake: str, session: Session) -> list[Publication]:
    """Return a session's publications, oldest first."""
    return _ledger(lake, session_filters(session))


def newest_publications(lake: str, venue: str | None = None) -> list[Publication]:
    """Return the newest publication of each session, of one venue or of all. Reads all of them."""
    chosen: Filters | None = None if venue is None else [("venue", "=", venue)]
    newest = {(one.venue, one.session): one for one in _ledger(lake, chosen)}
    return [newest[place] for place in sorted(newest)]


def _ledger(lake: str, chosen: Filters | None) -> list[Publication]:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(table_path(lake, "publications"))
    except TableNotFoundError:
        return []
    found = table.to_pyarrow_table(filters=chosen).to_pylist()
    # a ledger that is older than a column has nothing there
    rows = ({name: value for name, value in row.items() if value is not None} for row in found)
    return sorted((Publication(**row) for row in rows), key=lambda item: item.rev)


def record(lake: str, publication: Publication) -> None:
    """Append one publication to the ledger."""
    import pyarrow
    from deltalake import write_deltalake

    types = {date: pyarrow.date32(), int: pyarrow.int64(), str: pyarrow.string()}
    hints = get_type_hints(Publication)
    schema = pyarrow.schema([(name, types[hint]) for name, hint in hints.items()])
    table = pyarrow.Table.from_pylist([asdict(publication)], schema=schema)
    path = table_path(lake, "publications")
    write_deltalake(path, table, mode="append", schema_mode="merge")


def _strings(values: list[str]) -> "pyarrow.Array":
    import pyarrow

    return pyarrow.array(values, pyarrow.string())


def _served(row: dict[str, object]) -> ServedBar:
    values = {
        name: float(str(row[name] or 0))
        for name in ("open", "high", "low", "close", "volume", "vwap")
    }
    return ServedBar(
        symbol=str(row["symbol"]),
        venue=str(row["venue"]),
        start_ns=int(str(row["start_ns"])),
        trades=int(str(row["trades"])),
        rev=0,
        seq=int(str(row["seq"])),
        layer="batch",
        final=False,
        void=False,
        **values,
    )
