"""Recomputed bars of the lake, in the shape in which they are served. Writes nothing."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import TYPE_CHECKING, Any

from truetape.host.errors import ConfigError
from truetape.lake.bars_lineage import recompute_bases
from truetape.lake.damage import damaged
from truetape.lake.delta import open_table
from truetape.lake.tables import Table, session_filters
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.store import BAR_NUMBERS, ServedBar

if TYPE_CHECKING:
    import pyarrow

_COLUMNS = (
    "symbol", "venue", "resolution", "start_ns", "open", "high", "low", "close",
    "volume", "vwap", "trades", "seq", "served", "profile", "profile_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecomputedSession:
    """The bars of one session in the lake, as one Arrow table that is read symbol by symbol."""

    session: Session
    table: "pyarrow.Table"
    version: int

    @property
    def symbols(self) -> list[str]:
        """Return the session's symbols, sorted."""
        import pyarrow.compute as pc

        return sorted(map(str, pc.unique(self.table.column("symbol")).to_pylist()))

    @property
    def profile(self) -> tuple[str, int]:
        """Return the eligibility profile of these bars and its version."""
        if not self.table.num_rows:
            return "", 0
        first = self.table.slice(0, 1).to_pylist()[0]
        return first["profile"], first["profile_version"]

    def bars(self, resolution: Resolution, symbols: list[str] | None = None) -> Iterator[ServedBar]:
        """Yield the served bars of these symbols (None: of all) by symbol, venue and start."""
        import pyarrow.compute as pc

        is_served = pc.and_(
            pc.equal(self.table.column("resolution"), resolution.value),
            self.table.column("served"),
        )
        if symbols is not None:
            is_named = pc.is_in(self.table.column("symbol"), _strings(symbols))
            is_served = pc.and_(is_served, is_named)
        ordered = self.table.filter(is_served).sort_by(
            [("symbol", "ascending"), ("venue", "ascending"), ("start_ns", "ascending")]
        )
        for batch in ordered.to_batches(max_chunksize=10_000):
            yield from _served(batch)

    def unserved(self, resolution: Resolution, symbol: str) -> dict[int, Decimal]:
        """Return the volume of a symbol's bars without an eligible price, by start."""
        import pyarrow.compute as pc

        is_unserved = pc.and_not(
            pc.equal(self.table.column("resolution"), resolution.value),
            self.table.column("served"),
        )
        is_unserved = pc.and_(is_unserved, pc.equal(self.table.column("symbol"), symbol))
        rows = self.table.filter(is_unserved).select(["start_ns", "volume"]).to_pylist()
        return {row["start_ns"]: row["volume"] for row in rows}

    @property
    def count(self) -> int:
        """Return the number of served bars of all resolutions."""
        import pyarrow.compute as pc

        return int(pc.sum(self.table.column("served")).as_py() or 0)

    def digest(self) -> str:
        """Return a digest of the exact values of all served bars."""
        return digest_of(bar for resolution in Resolution for bar in self.bars(resolution))


def digest_of(bars: Iterable[ServedBar]) -> str:
    """Return a SHA-256 over bars as a recompute yields them: by resolution, symbol, venue, start;
    with `rev` 0, not final.
    """
    total = hashlib.sha256()
    for bar in bars:
        total.update(repr(bar).encode())
    return total.hexdigest()


def read_session_bars(lake: str, session: Session) -> RecomputedSession:
    """Read a session's bars; there are none if it has no trades. Raise ConfigError if it was never
    recomputed, or if its newest recompute is gone from the table.
    """
    bases = recompute_bases(lake, session)  # before the bars, so that these are at least as new
    table = open_table(lake, Table.BARS)
    if bases and bases[-1].bars_version > table.version():
        place = f"venue={session.venue}/session={session.date}"
        raise damaged(
            lake,
            Table.BARS,
            f"it is at version {table.version()}, and the last recompute of {place} wrote version "
            f"{bases[-1].bars_version}, so its newest commits are gone",
        )
    rows = table.rows(session_filters(session), _COLUMNS)
    if not rows.num_rows and not bases:
        raise ConfigError(
            f"{session.venue} {session.date} was not recomputed; "
            f"run `truetape recompute --venue {session.venue} --session {session.date}`"
        )
    return RecomputedSession(session, rows, table.version())


def _strings(values: list[str]) -> "pyarrow.Array[Any]":
    import pyarrow

    return pyarrow.array(values, pyarrow.string())


def _served(rows: "pyarrow.RecordBatch") -> Iterator[ServedBar]:
    columns: list[Iterable[Any]] = [
        *(rows.column(name).to_pylist() for name in ("symbol", "venue", "start_ns")),
        *(_doubles(rows.column(name)) for name in BAR_NUMBERS),
        rows.column("trades").to_pylist(),
        repeat(0),  # rev
        rows.column("seq").to_pylist(),
        repeat("batch"),
        repeat(False),  # final
        repeat(False),  # void
    ]
    for values in zip(*columns, strict=False):
        yield ServedBar(*values)


def _doubles(column: "pyarrow.Array[Any]") -> list[float]:
    """Return the nearest double of each decimal; 0.0 for null.

    Arrow rounds a decimal twice on its way to a double, and a text once.
    """
    import pyarrow
    import pyarrow.compute as pc

    texts = column.cast(pyarrow.string())
    values: list[float] = pc.fill_null(texts.cast(pyarrow.float64()), 0.0).to_pylist()
    return values
