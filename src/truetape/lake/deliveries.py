"""Deliveries: the events of a session in `raw` as one Arrow table, for the kernel.

Decides nothing about them, as `events`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from truetape.host.errors import ConfigError
from truetape.kernel.events import event_of
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
from truetape.market.canonical import TradeName, name_of
from truetape.market.sessions import Session
from truetape.market.trades import Trade

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.dataset import Expression

_NAME = ("feed", "venue", "symbol", "id")


def session_deliveries(
    raw: RawEvents,
    session: Session,
    symbols: Sequence[str] | None = None,
    as_of_ns: int | None = None,
) -> "pyarrow.Table":
    """Return a session's deliveries of trades, and every amendment that may mean one of them,
    as `kernel.columns.DELIVERIES`; of all symbols or of these.

    If an amendment may mean a trade of another session, the trades of its name in neighbouring
    sessions are there too: ids are unique within a day only. Raise ConfigError for more than
    MAX_AMENDMENTS.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    start, last = session_bounds(session)
    inside = (pc.field("event_ns") >= start) & (pc.field("event_ns") <= last)
    is_trade = pc.field("kind") == "trade"
    wanted = pc.field("venue") == session.venue
    if symbols is not None:
        wanted &= pc.field("symbol").isin(list(symbols))
    if as_of_ns is not None:
        wanted &= pc.field("received_ns") <= as_of_ns
    trades = _deliveries(raw, overlapping((start, last)), is_trade & inside & wanted)
    due = ~is_trade & (inside | pc.field("event_ns").is_null()) & wanted
    amendments = _deliveries(raw, amending(session), due)
    if amendments.num_rows > MAX_AMENDMENTS:
        raise ConfigError(
            f"{session.venue} {session.date}: over {MAX_AMENDMENTS:,} cancels and corrections; "
            "check the feed before recomputing"
        )
    if not amendments.num_rows:
        return trades
    events = map(event_of, amendments.to_pylist())
    uncertain = may_mean_others(
        [event for event in events if not isinstance(event, Trade)],
        _first_receipts(trades, amendments),
        session,
    )
    if not uncertain:
        return pa.concat_tables([trades, amendments])
    names = pa.Table.from_pylist(
        [dict(zip(_NAME, name_of(amendment), strict=True)) for amendment in uncertain]
    )
    nearby = overlapping(reach_bounds(session, uncertain))
    others = _deliveries(raw, nearby, is_trade & ~inside & wanted, names)
    return pa.concat_tables([trades, amendments, others])


def _deliveries(
    raw: RawEvents,
    records: "Expression",
    events: "Expression",
    names: "pyarrow.Table | None" = None,
) -> "pyarrow.Table":
    """Return the events that satisfy a condition, of the records that satisfy another; only
    those with one of the names, if these are given.
    """
    import pyarrow as pa

    from truetape.kernel.columns import DELIVERIES

    found = [DELIVERIES.empty_table()]
    for batch in raw.scan([*RECORD, "events"], records):
        rows = event_rows(pa.Table.from_batches([batch])).filter(events)
        if names is not None:
            rows = _named(rows, names)
        if rows.num_rows:
            found.append(_as_deliveries(rows))
    return pa.concat_tables(found).combine_chunks()


def _as_deliveries(rows: "pyarrow.Table") -> "pyarrow.Table":
    """Return event rows in the columns and widths of the kernel."""
    import pyarrow.compute as pc

    from truetape.kernel.columns import DELIVERIES

    products = pc.multiply(rows["price"], rows["size"])
    return rows.append_column("notional", products).select(DELIVERIES.names).cast(DELIVERIES)


def _named(rows: "pyarrow.Table", names: "pyarrow.Table") -> "pyarrow.Table":
    """Return the rows with one of the names."""
    import numpy as np
    import pyarrow as pa

    numbered = rows.select(list(_NAME)).append_column("row", pa.array(np.arange(rows.num_rows)))
    places = numbered.join(names, list(_NAME), join_type="left semi")["row"].combine_chunks()
    return rows.take(places.sort())


def _first_receipts(trades: "pyarrow.Table", amendments: "pyarrow.Table") -> dict[TradeName, int]:
    """Return when the first trade of each name that an amendment has was received."""
    names = amendments.select(list(_NAME)).group_by(list(_NAME)).aggregate([])
    first = (
        _named(trades, names).group_by(list(_NAME)).aggregate([("received_ns", "min")]).to_pylist()
    )
    return {
        (row["feed"], row["venue"], row["symbol"], row["id"]): row["received_ns_min"]
        for row in first
    }
