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
_PLACED = """
  arg_min(closed_ns, first_offset) AS closed_ns, min(first_offset) AS first_offset,
  sum(prints)::BIGINT AS prints, NULL::BIGINT AS delivery
FROM {source} GROUP BY ALL
"""
_TALLIES = f"""
WITH prints AS (SELECT *, {_SECOND} AS start_ns FROM trades)
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


def delivery_keys(trades: pa.Table, feeds: Sequence[str]) -> Array:
    """Return a hash of partition, feed, venue, symbol, second and id for the trades of some feeds;
    null for all others, and without an id.

    Two trades of a symbol and second share one by chance once in 10^14 trades, at 50,000 a second.
    """
    repeats = f"id IS NOT NULL AND feed IN ({', '.join(map(quoted, feeds)) or 'NULL'})"
    key = f'(hash("partition", feed, venue, symbol, {_SECOND}, id) >> 1)::BIGINT'
    sql = f"SELECT CASE WHEN {repeats} THEN {key} END AS delivery FROM trades"
    return engine.query(sql, {"trades": trades})["delivery"].combine_chunks().cast(pa.int64())


def tallies(trades: pa.Table) -> pa.Table:
    """Return the `WINDOWS` of one second of judged trades, which have `delivery` and `closed_ns`.

    Trades with a `delivery` stay apart.
    """
    ordered = trades.append_column("order", order_keys(trades))
    return engine.query(_TALLIES, {"trades": ordered}).select(WINDOWS.names).cast(WINDOWS)


def minutes(seconds: pa.Table) -> pa.Table:
    """Return `WINDOWS` of one second as those of one minute, one a partition and symbol."""
    start = start_of("start_ns", Resolution.MINUTE)
    source = f"(SELECT * REPLACE ({start} AS start_ns) FROM parts)"
    return _merged(source, {"parts": seconds})


def merged(parts: pa.Table) -> pa.Table:
    """Return `WINDOWS` with one row a partition, symbol and start."""
    return _merged("parts", {"parts": parts})


def across_partitions(parts: pa.Table) -> pa.Table:
    """Return the tallies of `WINDOWS` with one row a symbol and start, whatever its partitions."""
    sql = f"SELECT venue, symbol, start_ns, {_MERGED} FROM parts GROUP BY ALL"
    return engine.query(sql, {"parts": parts})


def _merged(source: str, tables: dict[str, pa.Table]) -> pa.Table:
    placed = _PLACED.format(source=source)
    sql = f'SELECT "partition", venue, symbol, start_ns, {_MERGED}, {placed}'
    return engine.query(sql, tables).select(WINDOWS.names).cast(WINDOWS)
