"""Fold: settled and judged trades to bars. Equals `market.bars`, value for value."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel import bounds, engine
from truetape.kernel.columns import BARS, NUMBER, Column
from truetape.kernel.quotient import half_even_quotients
from truetape.market.bars import VWAP_DECIMALS
from truetape.market.resolution import INTRADAY, Resolution
from truetape.market.sessions import Session
from truetape.market.timeframe import Timeframe, timeframe_of

TALLIES = """
arg_min(price, ordinal) FILTER (open_close) AS open,
max(price) FILTER (high_low) AS high,
min(price) FILTER (high_low) AS low,
arg_max(price, ordinal) FILTER (open_close) AS close,
coalesce(sum(size) FILTER (counts), 0)::DECIMAL(38, 18) AS volume,
coalesce(sum(notional) FILTER (counts AND high_low), 0)::DECIMAL(38, 18) AS notional,
coalesce(sum(size) FILTER (counts AND high_low), 0)::DECIMAL(38, 18) AS priced_volume,
count(*) FILTER (counts) AS trades
"""
"""A tally of `market.bars.Tally`: trades without repeats and cancels, in the order of `ordinal`."""


def bars(
    trades: pa.Table, width: Resolution | Timeframe, sessions: Mapping[str, Iterable[Session]]
) -> pa.Table:
    """Fold judged trades into `BARS` of one width, ordered by symbol, venue and start.

    `sessions` are as in `market.bars.bars`. Raise ConfigError if a sum does not fit.
    """
    timeframe = timeframe_of(width) if isinstance(width, Resolution) else width
    tables = {"trades": trades}
    if timeframe.needs_sessions:
        tables["sessions"] = session_rows(sessions, timeframe)
        source, start, window = f"({_of_sessions(timeframe)})", "start_ns", _window(timeframe)
    else:
        source, start = "trades", aligned("event_ns", timeframe.width_ns or 0)
        window = start
    bounds.require_fit(trades, window)
    sql = f"""
SELECT symbol, venue, {start} AS start_ns, {TALLIES}
FROM {source} WHERE NOT duplicate AND NOT cancelled
GROUP BY ALL ORDER BY symbol, venue, start_ns
"""
    return with_vwap(engine.query(sql, tables)).select(BARS.names).cast(BARS)


def _window(timeframe: Timeframe) -> str:
    """Return the SQL of the sessions whose sums must fit, so that those of each bar do."""
    return {"1w": "date_trunc('week', session)", "1M": "date_trunc('month', session)"}.get(
        timeframe.value, "session"
    )


def _of_sessions(timeframe: Timeframe) -> str:
    """Return the SQL of the trades of bars whose start only a session says, with `start_ns`.

    Bars of whole sessions have the trades of regular sessions, and their auction prints.
    """
    condition = _IN_DAY if timeframe.width_ns is None else "true"
    return f"""
SELECT trades.*, {bar_start("event_ns", timeframe)} AS start_ns FROM trades JOIN sessions
  ON trades.venue = sessions.venue AND trades.session = sessions.date WHERE {condition}"""


def bar_start(instant: str, timeframe: Timeframe) -> str:
    """Return the SQL of the start of the bar of an instant, joined with its `session_rows`."""
    if timeframe.width_ns is None:
        return "sessions.period_ns"
    if not timeframe.needs_sessions:
        return aligned(instant, timeframe.width_ns)
    opens = "coalesce(sessions.open_ns, 0)"
    counted = aligned(f"({instant} - {opens})", timeframe.width_ns)
    return f"greatest(sessions.begin_ns, {opens} + {counted})"


_IN_DAY = """sessions.open_ns IS NOT NULL AND (auction
  OR (event_ns >= sessions.open_ns AND event_ns < sessions.close_ns)
  OR (event_ns >= sessions.auction_ns AND event_ns < sessions.auction_end_ns))"""
"""By the rule of `market.sessions.Session.is_in_day`."""


def tallies_of(prints: pa.Table) -> pa.Table:
    """Sum judged trades by the column `number`, into the terms of `market.bars.Tally`.

    `first` and `last` are the values of the column `row` of the prints that set open and close.
    """
    sql = f"""
SELECT number, {TALLIES}, arg_min("row", ordinal) FILTER (open_close) AS "first",
  arg_max("row", ordinal) FILTER (open_close) AS "last"
FROM prints GROUP BY number
"""
    return engine.query(sql, {"prints": prints})


def session_bars(trades: pa.Table, session: Session) -> pa.Table:
    """Fold a session's judged trades into the tallies and VWAPs of all five resolutions.

    Reads `in_day` too: whether a trade belongs to the daily bar. The bars of one second are folded
    from trades, all others from those. `seq` is a bar's place in its session; `first` and `last`
    are the ordinals of the trades that set open and close. Raise ConfigError if a symbol's sum over
    the session does not fit.
    """
    bounds.require_fit(trades, "NULL")
    second = start_of("event_ns", Resolution.SECOND)
    places = [_SELECTED.format(name=resolution.name) for resolution in INTRADAY]
    if session.open_ns is not None:
        places.append(
            _ROLL_UP.format(
                resolution=Resolution.DAY.value,
                start=session.open_ns,
                seq=0,
                source="base WHERE in_day",
            )
        )
    sql = f"""
WITH base AS MATERIALIZED (SELECT symbol, {second} AS second, in_day, {TALLIES},
  min(ordinal) FILTER (open_close) AS "first", max(ordinal) FILTER (open_close) AS "last"
FROM trades WHERE NOT duplicate AND NOT cancelled GROUP BY ALL),
{", ".join(_cascade(session))}
{" UNION ALL ".join(places)}
"""
    return with_vwap(engine.query(sql, {"trades": trades}))


_ROLL_UP = """
SELECT symbol, '{resolution}' AS resolution, ({start})::BIGINT AS start_ns, ({seq})::INTEGER AS seq,
  arg_min(open, "first") AS open, max(high) AS high, min(low) AS low,
  arg_max(close, "last") AS close,
  sum(volume)::DECIMAL(38, 18) AS volume, sum(notional)::DECIMAL(38, 18) AS notional,
  sum(priced_volume)::DECIMAL(38, 18) AS priced_volume, sum(trades)::BIGINT AS trades,
  min("first") AS "first", max("last") AS "last"
FROM {source} GROUP BY ALL
"""
_SELECTED = 'SELECT * FROM "{name}"'


def _cascade(session: Session) -> Iterator[str]:
    """Yield the tables of the intraday widths, each folded from a narrower one."""
    source, instant = "base", "second"
    for resolution in INTRADAY:
        start, width = start_of(instant, resolution), resolution.width_ns
        since = f"({start} - {session.start_ns})"
        seq = f"({start_of(since, resolution)}) // {width}"
        rows = _ROLL_UP.format(resolution=resolution.value, start=start, seq=seq, source=source)
        yield f'"{resolution.name}" AS MATERIALIZED ({rows})'
        source, instant = f'"{resolution.name}"', "start_ns"


def start_of(instant: str, resolution: Resolution) -> str:
    """Return the SQL of `Resolution.start_of`."""
    return aligned(instant, resolution.width_ns)


def aligned(instant: str, width_ns: int) -> str:
    """Return the SQL of the last multiple of a width up to an instant; in SQL, % takes the sign of
    the dividend.
    """
    return f"{instant} - ({instant} % {width_ns} + {width_ns}) % {width_ns}"


def with_vwap(tallies: pa.Table) -> pa.Table:
    """Add the VWAP: notional / priced volume, rounded half-even once; null without that volume."""
    vwap = half_even_quotients(tallies["notional"], tallies["priced_volume"], VWAP_DECIMALS)
    return tallies.append_column("vwap", vwap.cast(NUMBER))


def is_served(bars: pa.Table) -> Column:
    """True for bars that have all four prices; see `market.bars.Bar.is_served`."""
    prices = (pc.is_valid(bars[name]) for name in ("open", "high", "low", "close"))
    return reduce(pc.and_, prices)


def in_day(trades: pa.Table, session: Session) -> Column:
    """True for trades of a session that belong to its daily bar; `_IN_DAY` has the same rule."""
    belongs: Column = pc.and_(trades["auction"], session.open_ns is not None)
    if session.open_ns is None or session.close_ns is None:
        return belongs
    for start_ns, end_ns in ((session.open_ns, session.close_ns), session.auction_ns or (0, 0)):
        times = trades["event_ns"]
        inside = pc.and_(pc.greater_equal(times, start_ns), pc.less(times, end_ns))
        belongs = pc.or_(belongs, inside)
    return belongs


def session_rows(sessions: Mapping[str, Iterable[Session]], timeframe: Timeframe) -> pa.Table:
    """Return sessions by venue code as rows, with the start of their bar of whole sessions."""
    rows = []
    for code, listed in sessions.items():
        days = list(listed)
        periods = {} if timeframe.width_ns else timeframe.period_starts(days)
        rows += [
            {
                "venue": code,
                "date": day.date,
                "begin_ns": day.start_ns,
                "open_ns": day.open_ns,
                "close_ns": day.close_ns,
                "auction_ns": auction_ns,
                "auction_end_ns": auction_end_ns,
                "period_ns": periods.get(day.date),
            }
            for day in days
            for auction_ns, auction_end_ns in [day.auction_ns or (None, None)]
        ]
    instants = ("begin_ns", "open_ns", "close_ns", "auction_ns", "auction_end_ns", "period_ns")
    columns: list[tuple[str, pa.DataType]] = [
        ("venue", pa.string()), ("date", pa.date32()), *((name, pa.int64()) for name in instants),
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(columns))
