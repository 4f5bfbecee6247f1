"""Settle: deliveries to trades in total order, with repeats, cancels and corrections applied.

Repeats of an id are found in SQL. Amendments are few, so the trades that they name, or give a name,
go through the reference: there is one rule for them.
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel import engine
from truetape.kernel.columns import POSITION, SETTLED, Array
from truetape.kernel.events import amendments_in, concerned, event_of, places_of
from truetape.kernel.ranks import ranks
from truetape.kernel.session_days import session_dates
from truetape.market.canonical import CanonicalTrade, apply, changes_of
from truetape.market.sessions import Venue
from truetape.market.trades import Trade, notional

_PLACE = ", ".join(f'"{name}"' for name in POSITION)
_KEY = "feed, venue, symbol, session, id"
_REPEATS = f"""
WITH repeated AS (
  SELECT {_KEY} FROM trades WHERE id IS NOT NULL GROUP BY ALL HAVING count(*) > 1)
SELECT "row" FROM trades SEMI JOIN repeated USING ({_KEY})
QUALIFY row_number() OVER (PARTITION BY {_KEY} ORDER BY received_ns, {_PLACE}) > 1
"""
"""The rows of repeat deliveries: most keys come once, so only the others are sorted."""


def settle(
    deliveries: pa.Table,
    venues: Mapping[str, Venue],
    as_of_ns: int | None = None,
    day: date | None = None,
) -> pa.Table:
    """Return the trades of `DELIVERIES` as `SETTLED`, in no order: `ordinal` has it.

    The rules are those of `market.canonical.canonical`. `as_of_ns` leaves out what was received
    after it. With `day`, only trades of that session date are returned and numbered.
    """
    if as_of_ns is not None:
        deliveries = deliveries.filter(pc.field("received_ns") <= as_of_ns)
    is_trade = pc.equal(deliveries["kind"], "trade")
    trades = deliveries.filter(is_trade).drop_columns(["kind", "new_id"])
    amendments = deliveries.filter(pc.invert(is_trade))
    trades = trades.append_column("session", session_dates(trades, venues))
    marked = trades.append_column("duplicate", _repeats(trades))
    for name in ("cancelled", "corrected"):
        marked = marked.append_column(name, pa.array(np.zeros(trades.num_rows, dtype=bool)))
    if amendments.num_rows:
        marked = _amended(marked, amendments, venues)
    if day is not None:
        marked = marked.filter(pc.field("session") == day)
    ordered = marked.append_column("ordinal", _ordinals(marked))
    return ordered.select(SETTLED.names).cast(SETTLED)


def _repeats(trades: pa.Table) -> Array:
    """Mark the trades that repeat an earlier delivery of the same id."""
    names = ("feed", "venue", "symbol", "session", "id", "received_ns", *POSITION)
    rows = pa.array(np.arange(trades.num_rows))
    numbered = trades.select(names).append_column("row", rows)
    repeated = np.zeros(trades.num_rows, dtype=bool)
    repeated[engine.query(_REPEATS, {"trades": numbered})["row"].to_numpy()] = True
    return pa.array(repeated)


def _ordinals(trades: pa.Table) -> Array:
    """Number the trades of each venue and symbol from 1, in the order of `Trade.order`."""
    keys = [
        ranks(trades["venue"]),
        ranks(trades["symbol"]),
        trades["event_ns"].to_numpy(),
        pc.is_null(trades["sequence"]).to_numpy(),
        pc.fill_null(trades["sequence"], 0).to_numpy(),
        ranks(trades["topic"]),
        *(trades[name].to_numpy() for name in ("partition", "offset", "index")),
    ]
    differing = [key for key in keys if len(key) and key.min() != key.max()]
    order = np.lexsort(differing[::-1]) if differing else np.arange(trades.num_rows)
    groups = [key[order] for key in keys[:2]]
    is_first = np.any([np.diff(group, prepend=-1) != 0 for group in groups], axis=0)
    firsts = np.flatnonzero(is_first)
    places = np.arange(len(order)) - np.repeat(firsts, np.diff(firsts, append=len(order)))
    ordinals = np.empty(len(order), dtype=np.int64)
    ordinals[order] = places + 1
    return pa.array(ordinals)


def _amended(marked: pa.Table, amendments: pa.Table, venues: Mapping[str, Venue]) -> pa.Table:
    """Apply amendments to the trades that they mean: only first deliveries are amended."""
    firsts = pc.indices_nonzero(pc.invert(marked["duplicate"]))
    named = firsts.take(places_of(marked.take(firsts), concerned(amendments)))
    trades = {
        trade.position: (row, trade)
        for row, trade in enumerate(map(event_of, marked.take(named).to_pylist()))
        if isinstance(trade, Trade)
    }
    changes = changes_of([trade for _, trade in trades.values()], amendments_in(amendments), venues)
    in_force = {
        named[row].as_py(): apply(trade, changes)
        for row, trade in trades.values()
        if trade.position in changes.by_trade or trade.position in changes.resends
    }
    return _replaced(marked, in_force)


def _replaced(marked: pa.Table, in_force: Mapping[int, CanonicalTrade]) -> pa.Table:
    """Replace the values of some rows, which come in their order."""
    changed = np.zeros(marked.num_rows, dtype=bool)
    changed[list(in_force)] = True
    items = list(in_force.values())
    values: dict[str, list[object]] = {
        "price": [item.trade.price for item in items],
        "size": [item.trade.size for item in items],
        "notional": [notional(item.trade.price, item.trade.size) for item in items],
        "duplicate": [item.duplicate for item in items],
        "cancelled": [item.cancelled for item in items],
        "corrected": [item.corrected for item in items],
        "conditions": [list(item.trade.conditions) for item in items],
    }
    places = np.where(changed, np.cumsum(changed) - 1 + marked.num_rows, np.arange(len(changed)))
    for name, replacements in values.items():
        column = pa.chunked_array(
            [*marked[name].chunks, pa.array(replacements, SETTLED.field(name).type)]
        )
        place = marked.schema.get_field_index(name)
        marked = marked.set_column(place, name, column.take(pa.array(places)))
    return marked
