"""Windows: tallies of bars that can still grow, merged whatever the order of their parts.

Holds no state: `speed.state` does. A bar of any split of the same trades is the same.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.host.sql import quoted
from truetape.kernel import engine
from truetape.kernel.columns import WINDOWS, Array
from truetape.kernel.fold import start_of
from truetape.market.resolution import Resolution

HELD = pa.schema([pa.field("width_ns", pa.int64()), *WINDOWS])
GROWN = pa.schema([*HELD, pa.field("is_changed", pa.bool_()), pa.field("window", pa.uint64())])
_ORDER = np.dtype(
    [
        ("event_ns", ">u8"),
        ("lacks_sequence", "u1"),
        ("sequence", ">u8"),
        ("partition", ">u4"),
        ("offset", ">u8"),
        ("index", ">u4"),
    ]
)
_SIGN = np.uint64(1 << 63)
"""Added to a signed number, it makes unsigned ones that sort alike."""

_SECOND = start_of("event_ns", Resolution.SECOND)

_MERGED = """
  arg_min(open, "first") AS open, max(high) AS high, min(low) AS low,
  arg_max(close, "last") AS close,
  sum(volume)::DECIMAL(38, 18) AS volume, sum(notional)::DECIMAL(38, 18) AS notional,
  sum(priced_volume)::DECIMAL(38, 18) AS priced_volume, sum(trades)::BIGINT AS trades,
  min("first") AS "first", max("last") AS "last"
"""
_GROWN = f"""
SELECT width_ns, "partition", venue, symbol, start_ns, {_MERGED},
  arg_min(closed_ns, first_offset) AS closed_ns, min(first_offset) AS first_offset,
  sum(prints)::BIGINT AS prints, NULL::BIGINT AS delivery, bool_or(is_new) AS is_changed,
  hash(width_ns, venue, symbol, start_ns) AS "window"
FROM (
  SELECT *, {Resolution.SECOND.width_ns} AS width_ns, true AS is_new FROM added
  UNION ALL BY NAME
  SELECT * REPLACE ({start_of("start_ns", Resolution.MINUTE)} AS start_ns),
    {Resolution.MINUTE.width_ns} AS width_ns, true AS is_new FROM added
  UNION ALL BY NAME
  SELECT *, false AS is_new FROM held)
GROUP BY width_ns, "partition", venue, symbol, start_ns
ORDER BY width_ns, start_ns
"""
_TALLIES = f"""
WITH prints AS (SELECT *, {_SECOND} AS start_ns,
  CASE WHEN id IS NOT NULL AND feed IN ({{feeds}})
    THEN (hash("partition", feed, venue, symbol, {_SECOND}, id) >> 1)::BIGINT END AS delivery
FROM trades)
SELECT "partition", venue, symbol, start_ns,
  arg_min(price, "order") FILTER (open_close) AS open,
  max(price) FILTER (high_low) AS high, min(price) FILTER (high_low) AS low,
  arg_max(price, "order") FILTER (open_close) AS close,
  coalesce(sum(size) FILTER (counts), 0)::DECIMAL(38, 18) AS volume,
  coalesce(sum(notional) FILTER (counts AND high_low), 0)::DECIMAL(38, 18) AS notional,
  coalesce(sum(size) FILTER (counts AND high_low), 0)::DECIMAL(38, 18) AS priced_volume,
  count(*) FILTER (counts) AS trades,
  min("order") FILTER (open_close) AS "first", max("order") FILTER (open_close) AS "last",
  min("offset") AS first_offset, arg_min(closed_ns, "offset") AS closed_ns,
  count(*) AS prints, delivery
FROM prints GROUP BY "partition", venue, symbol, start_ns, delivery
"""
_FIRSTS = f"""
SELECT * FROM trades
QUALIFY row_number() OVER (
  PARTITION BY "partition", feed, venue, symbol, {_SECOND}, id
  ORDER BY "offset", "index") = 1
"""


def order_keys(trades: pa.Table) -> Array:
    """Return bytes that sort as `market.trades.Trade.order`, for trades of one topic."""
    keys = np.zeros(trades.num_rows, _ORDER)
    sequences = trades["sequence"]
    keys["event_ns"] = trades["event_ns"].to_numpy().view(np.uint64) ^ _SIGN
    keys["lacks_sequence"] = sequences.is_null().to_numpy()
    keys["sequence"] = pc.fill_null(sequences, 0).to_numpy()
    for name in ("partition", "offset", "index"):
        keys[name] = trades[name].to_numpy()
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_ORDER.itemsize), len(keys), [None, pa.py_buffer(keys.tobytes())]
    ).cast(pa.binary())


def tallies(trades: pa.Table, repeating: Sequence[str]) -> pa.Table:
    """Return the `WINDOWS` of one second of judged trades, which have `closed_ns`.

    `repeating` are the feeds that may deliver a trade more than once. Their trades with an id stay
    apart, each with its `delivery`: a hash of partition, feed, venue, symbol, second and id. Of
    several deliveries the first one counts. Two trades of a symbol and second share a hash by
    chance once in 10^14 trades, at 50,000 a second.
    """
    ordered = trades.append_column("order", order_keys(trades))
    sql = _TALLIES.format(feeds=", ".join(map(quoted, repeating)) or "NULL")
    rows = engine.query_prepared(sql, {"trades": ordered})
    is_repeated = pc.and_(pc.is_valid(rows["delivery"]), pc.greater(rows["prints"], 1))
    if pc.any(is_repeated).as_py():
        may_repeat = pc.and_(
            pc.is_in(ordered["feed"], pa.array(repeating)), pc.is_valid(ordered["id"])
        )
        firsts = engine.query_prepared(_FIRSTS, {"trades": ordered.filter(may_repeat)})
        ordered = pa.concat_tables(
            [ordered.filter(pc.invert(may_repeat)), firsts.cast(ordered.schema)]
        )
        rows = engine.query_prepared(sql, {"trades": ordered})
    return rows.select(WINDOWS.names).cast(WINDOWS)


def grown(held: pa.Table, added: pa.Table) -> pa.Table:
    """Merge added `WINDOWS` of one second into held ones of both streamed resolutions.

    `held` has `width_ns`. So has the result, which is ordered by it and by start, with one row a
    partition, symbol and start; `is_changed` is true where something was added. Rows of one
    window, whatever their partition, have the same hash as `window`.
    """
    rows = engine.query_prepared(_GROWN, {"held": held, "added": added})
    return rows.select(GROWN.names).cast(GROWN)


def across_partitions(parts: pa.Table) -> pa.Table:
    """Return the tallies of `WINDOWS` with one row a symbol and start, whatever its partitions."""
    sql = f"SELECT venue, symbol, start_ns, {_MERGED} FROM parts GROUP BY ALL"
    return engine.query_prepared(sql, {"parts": parts})
