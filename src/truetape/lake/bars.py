"""Recomputed bars of the lake, in the shape in which they are served. Writes nothing."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from truetape.host.errors import ConfigError
from truetape.lake.bars_lineage import recompute_bases
from truetape.lake.damage import damaged
from truetape.lake.delta import open_table
from truetape.lake.tables import Table, session_filters
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.bar_table import COLUMNS, bars_of, of_symbols, unpublished
from truetape.serving.line_table import float_texts
from truetape.serving.store import ServedBar

if TYPE_CHECKING:
    import pyarrow

_DIGEST_ROWS = 50_000
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
    _bar_tables: dict[Resolution, "pyarrow.Table"] = field(
        default_factory=dict, repr=False, compare=False
    )

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
        return bars_of(self.bar_table(resolution, symbols))

    def bar_table(
        self, resolution: Resolution, symbols: list[str] | None = None
    ) -> "pyarrow.Table":
        """Return what `bars` yields as a table; see `serving.bar_table`."""
        if resolution not in self._bar_tables:
            self._bar_tables[resolution] = self._served(resolution)
        bars = self._bar_tables[resolution]
        return bars if symbols is None else of_symbols(bars, symbols)

    def _served(self, resolution: Resolution) -> "pyarrow.Table":
        import pyarrow.compute as pc

        is_served = pc.and_(
            pc.equal(self.table.column("resolution"), resolution.value),
            self.table.column("served"),
        )
        return unpublished(self.table.filter(is_served), "batch").sort_by(
            [("symbol", "ascending"), ("venue", "ascending"), ("start_ns", "ascending")]
        )

    def rows_by_symbol(self) -> Mapping[str, int]:
        """Return the number of bars of each symbol, of all resolutions."""
        import pyarrow.compute as pc

        counts = pc.value_counts(self.table.column("symbol")).to_pylist()
        return {str(item["values"]): int(item["counts"]) for item in counts}

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
        return digest_of(self.bar_table(resolution) for resolution in Resolution)


def digest_of(tables: Iterable["pyarrow.Table"]) -> str:
    """Return a SHA-256 over bars as a recompute has them: by resolution, symbol, venue, start; with
    `rev` 0, not final. It is that of the `repr` of each bar.
    """
    total = hashlib.sha256()
    for table in tables:
        for batch in table.to_batches(max_chunksize=_DIGEST_ROWS):
            total.update("".join(map(str, _reprs(batch).to_pylist())).encode())
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


def _reprs(bars: "pyarrow.RecordBatch") -> Any:
    """Return the `repr` of each bar."""
    import pyarrow
    import pyarrow.compute as pc

    pieces: list[Any] = ["ServedBar("]
    for number, (name, column) in enumerate(zip(COLUMNS, bars.columns, strict=True)):
        pieces.append(f"{', ' if number else ''}{name}=")
        if pyarrow.types.is_floating(column.type):
            pieces.append(float_texts(column))
        elif pyarrow.types.is_boolean(column.type):
            pieces.append(pc.if_else(column, "True", "False"))
        elif pyarrow.types.is_string(column.type):
            codes = column.dictionary_encode()
            reprs = pyarrow.array(map(repr, codes.dictionary.to_pylist()), pyarrow.string())
            pieces.append(reprs.take(codes.indices))
        else:
            pieces.append(column.cast(pyarrow.string()))
    return pc.binary_join_element_wise(*pieces, ")", "")
