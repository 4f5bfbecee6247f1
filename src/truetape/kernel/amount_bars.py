"""Tick, volume and dollar bars on Arrow tables. Equals `market.amount_bars`, value for value."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetape.kernel import bounds, engine
from truetape.kernel.columns import BARS, Array
from truetape.kernel.fold import TALLIES, with_vwap
from truetape.market.amount_bars import Amount, Measure

AMOUNT_BARS = pa.schema(
    [
        *(BARS.field(name) for name in ("symbol", "venue")),
        pa.field("session", pa.date32()),
        pa.field("seq", pa.int64()),
        pa.field("start_ns", pa.int64()),
        pa.field("end_ns", pa.int64()),
        *(BARS.field(name) for name in ("open", "high", "low", "close", "volume", "vwap")),
        pa.field("trades", pa.int64()),
    ]
)
"""Bars by amount, also those that lack a price; see `market.amount_bars.AmountBar`."""

_ADDED = {
    Measure.TRADES: "1",
    Measure.VOLUME: "abs(size)",
    Measure.NOTIONAL: "abs(notional)",
}
_RUNNING = """
SELECT symbol, venue, session, ordinal, event_ns, price, size, notional, open_close, high_low,
  counts, sum(CASE WHEN counts THEN ({added})::DECIMAL(38, 18) ELSE 0 END) OVER session_so_far
    ::DECIMAL(38, 18) AS running,
  row_number() OVER session_so_far AS place
FROM trades WHERE NOT duplicate AND NOT cancelled
WINDOW session_so_far AS (
  PARTITION BY symbol, venue, session ORDER BY ordinal
  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ORDER BY symbol, venue, session, ordinal
"""
_FOLD = f"""
SELECT symbol, venue, session, seq, min(event_ns) AS start_ns, max(event_ns) AS end_ns, {TALLIES}
FROM prints GROUP BY symbol, venue, session, seq ORDER BY symbol, venue, session, seq
"""


def amount_bars(trades: pa.Table, amount: Amount) -> pa.Table:
    """Fold judged trades into `AMOUNT_BARS`, ordered by symbol, venue, session and `seq`.

    See `market.amount_bars.amount_bars`. `trades` are settled and judged, or rows of the lake's
    trades of whole sessions. Raise ConfigError if the sum of a session does not fit.
    """
    bounds.require_fit(trades, "session")
    rows = engine.query(_RUNNING.format(added=_ADDED[amount.measure]), {"trades": trades})
    prints = rows.append_column("seq", _numbers(rows, amount))
    return (
        with_vwap(engine.query(_FOLD, {"prints": prints}))
        .select(AMOUNT_BARS.names)
        .cast(AMOUNT_BARS)
    )


def _numbers(rows: pa.Table, amount: Amount) -> Array:
    """Return the number of the bar of each print, given in order with its `running` amount."""
    running, least = _sortable(rows), amount.units
    begins = np.flatnonzero(rows["place"].to_numpy() == 1).tolist()
    sessions = pairwise([*begins, rows.num_rows])
    numbers = np.zeros(rows.num_rows, np.int64)
    for begin, end in sessions:
        reached, first, number = 0, begin, 0
        while first < end:
            target = np.bytes_((reached + least).to_bytes(_BYTES))
            last = begin + int(np.searchsorted(running[begin:end], target))
            numbers[first : last + 1] = number
            if last < end:
                reached = int.from_bytes(bytes(running[last]).ljust(_BYTES, b"\0"))
            first, number = last + 1, number + 1
    return pa.array(numbers)


_BYTES = 16


def _sortable(rows: pa.Table) -> npt.NDArray[np.bytes_]:
    """Return running sums as big-endian bytes, which sort as the numbers do: none is negative."""
    column = rows["running"].combine_chunks()
    data = column.buffers()[1] or pa.py_buffer(b"")
    halves = np.frombuffer(memoryview(data), "<u8").reshape(-1, 2)[column.offset :][: len(column)]
    return np.ascontiguousarray(halves[:, ::-1]).astype(">u8").view(f"S{_BYTES}").ravel()
