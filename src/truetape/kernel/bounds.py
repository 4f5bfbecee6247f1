"""Bounds of sums: finds the windows whose volume or notional would not fit `NUMBER`.

Sums nothing itself. Arrow wraps a sum that does not fit, and DuckDB returns one that is no decimal
of the type, so a caller looks here first. Doubles decide, with a margin of a hundredth.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.feeds.native import iso
from truetape.host.errors import ConfigError
from truetape.kernel import engine
from truetape.kernel.columns import Array
from truetape.market.trades import LIMIT, WHOLE_DIGITS

_MOST = 0.99 * float(LIMIT)
_LARGE = f"""
SELECT "row" FROM rows WINDOW whole AS (PARTITION BY venue, symbol, {{start}})
QUALIFY {_MOST!r} <= greatest(
  sum(abs({{volume}}::DOUBLE)) OVER whole, sum(abs(notional::DOUBLE)) OVER whole)
"""


def fit(rows: pa.Table, volume: str = "size") -> bool:
    """True if the sums of all rows fit, and so those of any of them; `volume` names the sizes."""
    totals = (pc.sum(pc.abs(rows[name].cast(pa.float64()))) for name in (volume, "notional"))
    return all((total.as_py() or 0.0) < _MOST for total in totals)


def places_too_large(rows: pa.Table, start: str, volume: str = "size") -> Array:
    """Return which rows are in windows whose sums do not fit, in order.

    `start` is the SQL of a window's start. Signs are left out, since the order of a sum is open.
    """
    if fit(rows, volume):
        return pa.array([], pa.int64())
    numbered = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    sql = _LARGE.format(volume=volume, start=start)
    return engine.query(sql, {"rows": numbered})["row"].combine_chunks().sort()


def require_fit(trades: pa.Table, start: str) -> None:
    """Raise ConfigError, which names a window, if the sums of trades in it do not fit."""
    if fit(trades):
        return
    counted = trades.filter(~pc.field("duplicate") & ~pc.field("cancelled"))
    places = places_too_large(counted, start)
    if len(places):
        trade = counted.take(places[:1]).to_pylist()[0]
        raise ConfigError(
            f"{trade['venue']} {trade['symbol']}: the volume or the sum of price x size of the bar "
            f"with the trade of {iso(trade['event_ns'])} has more than {WHOLE_DIGITS} digits; see "
            '"A sum that does not fit" in docs/RUNBOOK.md'
        )
