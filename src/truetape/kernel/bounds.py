"""Bounds of sums: finds the windows whose volume or notional would not fit `NUMBER`.

Arrow wraps a sum that does not fit, and DuckDB returns one that is no decimal of the type, so a
caller looks here first. Doubles find the windows that come near, with a margin of a hundredth; the
exact sums of these decide.
"""

from collections import defaultdict
from decimal import Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.feeds.native import iso
from truetape.host.errors import ConfigError
from truetape.kernel import engine
from truetape.kernel.columns import Array
from truetape.market.trades import LIMIT, WHOLE_DIGITS

_MOST = 0.99 * float(LIMIT)
_EXACT = Context(prec=60)
_NEAR = f"""
SELECT "row", dense_rank() OVER (ORDER BY venue, symbol, {{start}}) AS "window",
  {{volume}} AS volume, notional
FROM rows WINDOW whole AS (PARTITION BY venue, symbol, {{start}})
QUALIFY {_MOST!r} <= greatest(
  sum(abs({{volume}}::DOUBLE)) OVER whole, sum(abs(notional::DOUBLE)) OVER whole)
"""


def fit(rows: pa.Table, volume: str = "size") -> bool:
    """True if the sums of all rows surely fit, and so those of any of them; `volume` names the
    sizes.
    """
    totals = (pc.sum(pc.abs(rows[name].cast(pa.float64()))) for name in (volume, "notional"))
    return all((total.as_py() or 0.0) < _MOST for total in totals)


def places_too_large(rows: pa.Table, start: str, volume: str = "size") -> Array:
    """Return which rows are in windows whose sums do not fit, in order.

    `start` is the SQL of a window's start. Signs are left out, since the order of a sum is open.
    """
    if fit(rows, volume):
        return pa.array([], pa.int64())
    numbered = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    near = engine.query(_NEAR.format(volume=volume, start=start), {"rows": numbered})
    large = _too_large(near)
    return near.filter(pc.is_in(near["window"], large))["row"].combine_chunks().sort()


def _too_large(near: pa.Table) -> Array:
    """Return the windows whose exact sums do not fit."""
    large = set[int]()
    for name in ("volume", "notional"):
        sums: dict[int, Decimal] = defaultdict(Decimal)
        for row in near.select(["window", name]).to_pylist():
            sums[row["window"]] = _EXACT.add(sums[row["window"]], row[name].copy_abs())
        large |= {window for window, total in sums.items() if total >= LIMIT}
    return pa.array(sorted(large), pa.int64())


def require_fit(trades: pa.Table, start: str) -> None:
    """Raise ConfigError, which names a window, if the sums of trades in it do not fit."""
    if fit(trades):
        return
    counted = trades.filter(~pc.field("duplicate") & ~pc.field("cancelled"))
    places = places_too_large(counted, start)
    if len(places):
        trade = counted.take(places[:1]).to_pylist()[0]
        which = f"with the trade of {iso(trade['event_ns'])}"
        raise sum_too_large(trade["venue"], trade["symbol"], which)


def sum_too_large(venue: str, symbol: str, which: str) -> ConfigError:
    """Return the error of a bar whose sums do not fit; `which` says which one."""
    return ConfigError(
        f"{venue} {symbol}: the volume or the sum of price x size of the bar {which} has more than "
        f'{WHOLE_DIGITS} digits; see "A sum that does not fit" in docs/RUNBOOK.md'
    )
