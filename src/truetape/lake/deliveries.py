"""Deliveries: the events of a session in `raw` as Arrow tables, for the kernel.

Decides nothing about them, as `events`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from truetape.host.errors import ConfigError
from truetape.kernel.columns import NAME
from truetape.kernel.events import amendments_in, names_of, places_of, row_of
from truetape.lake.delta import TablePart
from truetape.lake.events import (
    MAX_AMENDMENTS,
    RECORD,
    RawEvents,
    amending,
    event_rows,
    may_mean_others,
    overlapping,
    reach_bounds,
    session_bounds,
)
from truetape.market.amendments import TradeName, name_of
from truetape.market.sessions import Session
from truetape.market.trades import Amendment

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.dataset import Expression


@dataclass(frozen=True)
class SessionDeliveries:
    """A session's deliveries of trades, and every amendment that may mean one of them; of all
    symbols or of these, received by `as_of_ns`.

    If an amendment may mean a trade of another session, the trades of its name in neighbouring
    sessions are there too, and the corrections that gave them the name: ids are unique within a day
    only.
    """

    raw: RawEvents
    session: Session
    symbols: Sequence[str] | None = None
    as_of_ns: int | None = None

    def expected(self) -> int:
        """Return an upper bound of the number of trades, by a column of `raw` alone."""
        import pyarrow.compute as pc

        bounds = overlapping(session_bounds(self.session))
        batches = self.raw.scan(["accepted"], bounds)
        return sum(pc.sum(batch.column("accepted")).as_py() or 0 for batch in batches)

    def tables(self) -> "Iterator[pa.Table]":
        """Yield tables with the columns of `kernel.columns.DELIVERIES`.

        Raise ConfigError, before the first table, for more than MAX_AMENDMENTS amendments.
        """
        bounds = overlapping(session_bounds(self.session))
        amendments = self.amendments
        trades = self._read(bounds, self._own_trades)
        if not amendments.num_rows:
            yield from trades
            return
        yield amendments
        names = names_of(amendments)
        firsts = []
        for table in trades:
            firsts.append(first_receipts(table, names))
            yield table
        yield from self.others(earliest(firsts))

    def parts(self) -> list[TablePart]:
        """Return the parts of `raw` that may have trades of the session."""
        return self.raw.parts(overlapping(session_bounds(self.session)))

    def trades_of(self, part: TablePart) -> "pa.Table":
        """Return the session's own trades in a part of `raw`, as `tables` yields them."""
        import pyarrow as pa

        from truetape.kernel.columns import DELIVERIES

        bounds = overlapping(session_bounds(self.session))
        records = part.batches([*RECORD, "events"], bounds)
        found = _events_of(records, self._own_trades)
        return pa.concat_tables([DELIVERIES.empty_table(), *found])

    def others(self, first_receipts: Mapping[TradeName, int]) -> "Iterator[pa.Table]":
        """Yield the trades of other sessions that amendments may mean, and the corrections before
        the session that gave them their names.

        `first_receipts`: when the first trade of each name of this session was received.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        uncertain = may_mean_others(amendments_in(self.amendments), first_receipts, self.session)
        if uncertain:
            renamed = self._renamed_before(uncertain)
            yield renamed
            named = [*uncertain, *amendments_in(renamed)]
            names = pa.Table.from_pylist(
                [dict(zip(NAME, name_of(amendment), strict=True)) for amendment in named]
            )
            nearby = overlapping(reach_bounds(self.session, uncertain))
            condition = (pc.field("kind") == "trade") & ~self._inside & self._wanted
            for table in self._read(nearby, condition):
                yield table.take(places_of(table, names))

    @cached_property
    def amendments(self) -> "pa.Table":
        """Return the amendments. Raise ConfigError for more than MAX_AMENDMENTS."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from truetape.kernel.columns import DELIVERIES

        due = self._inside | pc.field("event_ns").is_null()
        condition = (pc.field("kind") != "trade") & due & self._wanted
        tables = [DELIVERIES.empty_table(), *self._read(amending(self.session), condition)]
        amendments = pa.concat_tables(tables)
        if amendments.num_rows > MAX_AMENDMENTS:
            raise ConfigError(
                f"{self.session.venue} {self.session.date}: over {MAX_AMENDMENTS:,} cancels and "
                "corrections; check the feed before recomputing"
            )
        return amendments

    def _renamed_before(self, amendments: Iterable[Amendment]) -> "pa.Table":
        """Return the corrections before the session that gave trades the names of amendments."""
        import pyarrow as pa

        from truetape.kernel.columns import DELIVERIES

        names = {name_of(amendment) for amendment in amendments}
        corrections = self.raw.renamed_before(self.session, names)
        table = pa.Table.from_pylist([row_of(each) for each in corrections], DELIVERIES)
        return table if self.as_of_ns is None else table.filter(self._wanted)

    @property
    def _own_trades(self) -> "Expression":
        import pyarrow.compute as pc

        return (pc.field("kind") == "trade") & self._inside & self._wanted

    @property
    def _inside(self) -> "Expression":
        import pyarrow.compute as pc

        start, last = session_bounds(self.session)
        return (pc.field("event_ns") >= start) & (pc.field("event_ns") <= last)

    @property
    def _wanted(self) -> "Expression":
        import pyarrow.compute as pc

        wanted = pc.field("venue") == self.session.venue
        if self.symbols is not None:
            wanted &= pc.field("symbol").isin(list(self.symbols))
        if self.as_of_ns is not None:
            wanted &= pc.field("received_ns") <= self.as_of_ns
        return wanted

    def _read(self, records: "Expression", events: "Expression") -> "Iterator[pa.Table]":
        """Yield the events that satisfy a condition, of the records that satisfy another."""
        yield from _events_of(self.raw.scan([*RECORD, "events"], records), events)


def _events_of(records: "Iterable[pa.RecordBatch]", events: "Expression") -> "Iterator[pa.Table]":
    """Yield the events of records that satisfy a condition."""
    import pyarrow as pa

    for batch in records:
        rows = event_rows(pa.Table.from_batches([batch])).filter(events)
        if rows.num_rows:
            yield _as_deliveries(rows)


def _as_deliveries(rows: "pa.Table") -> "pa.Table":
    """Return event rows in the columns of the kernel."""
    from truetape.kernel.columns import DELIVERIES

    return rows.select(DELIVERIES.names).cast(DELIVERIES)


def first_receipts(trades: "pa.Table", names: "pa.Table") -> dict[TradeName, int]:
    """Return when the first of some trades of each of these names was received."""
    named = trades.take(places_of(trades, names))
    first = named.group_by(list(NAME)).aggregate([("received_ns", "min")]).to_pylist()
    return {
        (row["feed"], row["venue"], row["symbol"], row["id"]): row["received_ns_min"]
        for row in first
    }


def earliest(firsts: Iterable[Mapping[TradeName, int]]) -> dict[TradeName, int]:
    """Return the earliest receipt of each name."""
    least: dict[TradeName, int] = {}
    for receipts in firsts:
        for name, received_ns in receipts.items():
            least[name] = min(received_ns, least.get(name, received_ns))
    return least
