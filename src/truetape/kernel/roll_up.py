"""Roll up: stored bars of the lake to bars of any timeframe, exactly."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from truetape.host.dates import FIRST_DAY
from truetape.host.errors import ConfigError
from truetape.kernel import bounds, engine
from truetape.kernel.columns import BARS
from truetape.kernel.fold import bar_start, session_rows, with_vwap
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.market.timeframe import Timeframe
from truetape.market.trades import WHOLE_DIGITS

ROLLED_UP = pa.schema(
    [
        *BARS,
        pa.field("session", pa.date32()),
        pa.field("seq", pa.int64()),
        pa.field("sessions", pa.string()),
    ]
)
"""Bars of a timeframe: `session` and `seq` are their place, `sessions` the dates of their parts."""


_PLACE = f"""
parts.start_ns // {SECOND_NS} * 1000000 + (parts.session - DATE '{FIRST_DAY}')"""
"""The order of parts: by start, which is a whole second, then by session. One hour by UTC has two
parts where sessions begin at half past.
"""


def roll_up(
    parts: pa.Table, timeframe: Timeframe, sessions: Mapping[str, Iterable[Session]]
) -> pa.Table:
    """Merge rows of the lake's bars, of `timeframe.source`, into `ROLLED_UP` bars.

    They are ordered by symbol, venue and start. `sessions` has those of the parts, by venue code;
    for bars of whole sessions see `Timeframe.period_starts`. Parts do not overlap, so the first one
    with an open has the open. Raise ConfigError if a sum may not fit.
    """
    if not bounds.fit(parts, "volume"):
        raise ConfigError(
            f"the volumes or notionals of these bars add up to more than {WHOLE_DIGITS} digits; "
            "choose a shorter period, or fewer symbols"
        )
    width_ns = timeframe.width_ns or 0
    first = bar_start("sessions.begin_ns", timeframe)
    seq = f"(placed_ns - min(first_ns) + {width_ns - 1}) // {width_ns}" if width_ns else "0"
    sql = f"""
SELECT symbol, venue, placed_ns AS start_ns,
  arg_min(open, place) FILTER (open IS NOT NULL) AS open, max(high) AS high, min(low) AS low,
  arg_max(close, place) FILTER (close IS NOT NULL) AS close,
  sum(volume)::DECIMAL(38, 18) AS volume, sum(notional)::DECIMAL(38, 18) AS notional,
  sum(priced_volume)::DECIMAL(38, 18) AS priced_volume, sum(trades)::BIGINT AS trades,
  min(session) AS session, {seq} AS seq,
  string_agg(DISTINCT session::VARCHAR, ',' ORDER BY session::VARCHAR) AS sessions
FROM (
  SELECT parts.*, {_PLACE} AS place, {first} AS first_ns,
    {bar_start("parts.start_ns", timeframe)} AS placed_ns
  FROM parts JOIN sessions ON parts.venue = sessions.venue AND parts.session = sessions.date)
GROUP BY symbol, venue, placed_ns ORDER BY symbol, venue, placed_ns
"""
    tables = {"parts": parts, "sessions": session_rows(sessions, timeframe)}
    rows = with_vwap(engine.query(sql, tables))
    return rows.select(ROLLED_UP.names).cast(ROLLED_UP)
