"""The frames of a session's bars: single ones, and beside narrower bars and trades. Pure."""

from collections.abc import Iterator, Mapping
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.resolution import INTRADAY, Resolution
from truetape.market.sessions import Session, Venue
from truetape.quality.baselines import (
    History,
    SymbolFacts,
    gap_in_sigmas,
    usual_missing_share,
)
from truetape.quality.columns import (
    NUMBER,
    Column,
    Values,
    codes,
    doubles,
    flags,
    floats,
    numbers,
    table,
    table_of,
)
from truetape.quality.frames import FRAMES, Frame, SuiteTable
from truetape.quality.rollups import (
    by_symbols,
    compare,
    effective,
    prints,
    roll_up,
    starts_of,
    stored,
    together,
)
from truetape.quality.session_tables import SessionTables
from truetape.quality.trade_frames import positive_only, trades_by_symbol

SHORT = (Resolution.SECOND, Resolution.MINUTE, Resolution.FIVE_MINUTES)
"""Resolutions at which a price that trebles is an error or a corporate action, not a busy day."""
OFFICIAL_CODES = ("M", "Q", "24", "26")
"""Conditions of official opens and closes: codes of the US tapes, and bits of LEAN's word."""
_UNIT = Decimal(1).scaleb(-18)
_WIDE = pa.scalar(Decimal(10) ** 12, NUMBER)
"""A product of smaller numbers fits Arrow's widest decimals."""


def bar_frames(tables: SessionTables, venue: Venue, history: History) -> Iterator[Frame]:
    """Yield the frames of the bars suite. If a column is missing, yield only the schema's frame."""
    yield Frame("types", pa.table({"declared": list(tables.declared_bars)}))
    if tables.trades is None or tables.bars is None:
        return
    session = tables.session
    yield Frame("bars", bar_rows(tables.bars, tables.trades, session))
    yield Frame("rollups", rollup_rows(tables.bars))
    yield Frame("folds", fold_rows(tables.bars, tables.trades, session))
    yield Frame("counts", count_rows(tables.bars, session))
    facts = facts_of(tables)
    yield Frame("minutes", minute_rows(facts, history))
    yield Frame("opens", open_rows(tables.bars, history))
    yield Frame("official", official_rows(tables.trades, venue))


def bar_rows(bars: pa.Table, trades: pa.Table, session: Session) -> pa.Table:
    """Add the derived columns that rules about single bars read."""
    open_, high, low, close = (bars[name] for name in ("open", "high", "low", "close"))
    served, slack = bars["served"], _vwap_slack(bars)
    is_base = pc.equal(bars["resolution"], Resolution.SECOND.value)
    columns = {
        "body_top": pc.max_element_wise(open_, close),
        "body_bottom": pc.min_element_wise(open_, close),
        "low_floor": pc.subtract(low.cast(slack.type), slack),
        "high_ceil": pc.add(high.cast(slack.type), slack),
        "vwap_exact": _vwap_exact(bars),
        "has_volume": pc.greater(bars["volume"], Decimal(0)),
        "is_base": is_base,
        "prints": _prints_inside(bars, is_base, trades),
        "is_short": pc.and_(
            pc.is_in(bars["resolution"], pa.array([resolution.value for resolution in SHORT])),
            served,
        ),
        "range_factor": floats(_range_factors(bars)),
        "start_rest": _start_rest(bars, session),
        "seq_rest": _seq_rest(bars, session),
        "in_session": _in_session(bars, session),
        "positive_only": _positive_only(bars, trades),
    }
    for name, column in columns.items():
        bars = bars.append_column(name, column)
    return bars.select(list(FRAMES[SuiteTable.BARS]["bars"].columns))


def _positive_only(bars: pa.Table, trades: pa.Table) -> Column:
    """Return which bars are of symbols without a feed that allows prices of zero and below."""
    others = trades.filter(pc.invert(positive_only(trades["feed"])))["symbol"]
    marks: Column = pc.invert(pc.is_in(bars["symbol"], pc.unique(others)))
    return marks


def rollup_rows(bars: pa.Table) -> pa.Table:
    """Compare 1m, 5m and 1h bars with the roll-up of the next narrower ones."""
    return together(rows for (group,) in by_symbols(bars) for rows in _rollups(group))


def fold_rows(bars: pa.Table, trades: pa.Table, session: Session) -> pa.Table:
    """Compare 1s and 1d bars with the fold of the session's trades."""
    return together(
        rows
        for bars_of_group, trades_of_group in by_symbols(bars, trades)
        for rows in _folds(bars_of_group, trades_of_group, session)
    )


def _rollups(bars: pa.Table) -> Iterator[pa.Table]:
    by_width = {resolution: stored(bars, resolution) for resolution in INTRADAY}
    for narrow, wide in pairwise(INTRADAY):
        rows = by_width[narrow]
        yield compare(roll_up(rows, starts_of(rows["start_ns"], wide)), by_width[wide], wide)


def _folds(bars: pa.Table, trades: pa.Table, session: Session) -> Iterator[pa.Table]:
    single = prints(trades)
    seconds = roll_up(single, starts_of(single["start_ns"], Resolution.SECOND))
    yield compare(seconds, stored(bars, Resolution.SECOND), Resolution.SECOND)
    in_day = single.filter(single["in_day"])
    days = roll_up(in_day, pa.array(np.full(in_day.num_rows, session.open_ns or 0)))
    yield compare(days, stored(bars, Resolution.DAY), Resolution.DAY)


def count_rows(bars: pa.Table, session: Session) -> pa.Table:
    """Count the bars between open and close, and the most that fit in between."""
    if session.open_ns is None or session.close_ns is None:
        return table([], "resolution:text symbol:text regular:int most:int")
    length = session.close_ns - session.open_ns
    most = {
        resolution.value: 1 if resolution is Resolution.DAY else -(-length // resolution.width_ns)
        for resolution in Resolution
    }
    inside = pc.and_(
        pc.greater_equal(bars["start_ns"], session.open_ns),
        pc.less(bars["start_ns"], session.close_ns),
    )
    keys = ["resolution", "symbol"]
    counted = bars.select(keys).filter(inside).group_by(keys).aggregate([([], "count_all")])
    rows = [
        {
            "resolution": row["resolution"],
            "symbol": row["symbol"],
            "regular": row["count_all"],
            "most": most.get(row["resolution"], 0),
        }
        for row in counted.to_pylist()
    ]
    return table(rows, "resolution:text symbol:text regular:int most:int")


def facts_of(tables: SessionTables) -> dict[str, SymbolFacts]:
    """Return the baselines for later sessions, by symbol."""
    if tables.trades is None or tables.bars is None:
        return {}
    bars = tables.bars.select(["symbol", "resolution", "start_ns", "close", "served"])
    served = bars.filter(bars["served"])
    closes = _by_symbol(served, Resolution.DAY, "close")
    minutes = {
        row["symbol"]: 1 - row["regular"] / row["most"]
        for row in count_rows(served, tables.session).to_pylist()
        if row["resolution"] == Resolution.MINUTE.value
    }
    return {
        symbol: SymbolFacts(count, minutes.get(symbol, 1.0), closes.get(symbol))
        for symbol, count in trades_by_symbol(tables.trades).items()
    }


def minute_rows(facts: Mapping[str, SymbolFacts], history: History) -> pa.Table:
    """Return the share of minutes without a bar, beside the usual share."""
    rows = []
    for symbol, fact in sorted(facts.items()):
        usual = usual_missing_share(history.get(symbol, ()))
        rows.append(
            {
                "symbol": symbol,
                "missing_share": fact.missing_share,
                "usual_missing_share": usual,
                "excess_missing": None if usual is None else fact.missing_share - usual,
            }
        )
    return table(
        rows, "symbol:text missing_share:float usual_missing_share:float excess_missing:float"
    )


def open_rows(bars: pa.Table, history: History) -> pa.Table:
    """Return each daily open beside the previous close."""
    rows = []
    for symbol, opened in sorted(_by_symbol(bars, Resolution.DAY, "open").items()):
        earlier = history.get(symbol, ())
        rows.append(
            {
                "symbol": symbol,
                "open": opened,
                "previous_close": earlier[-1].close if earlier else None,
                "sigmas": gap_in_sigmas(earlier, opened),
            }
        )
    return table(rows, "symbol:text open:float previous_close:float sigmas:float")


def official_rows(trades: pa.Table, venue: Venue) -> pa.Table:
    """Return the prints that repeat an auction as an official price. Only US venues have them."""
    columns = [*FRAMES[SuiteTable.TRADES]["trades"].keys, "counts"]
    lists = trades["conditions"].combine_chunks()
    official = pc.is_in(pc.list_flatten(lists), pa.array(OFFICIAL_CODES))
    rows = np.unique(np.asarray(pc.list_parent_indices(lists).filter(official)))
    return trades.take(pa.array(rows if venue.us_equities else [], pa.int64())).select(columns)


def _vwap_slack(bars: pa.Table) -> Column:
    """Return by how much vwap may lie outside of low and high: the notional of each trade is
    rounded by half of a last place at most, which tells in bars of tiny sizes.
    """
    volume, trades = doubles(bars["priced_volume"]), doubles(bars["trades"])
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.ceil(np.where(volume > 0, trades / volume, 0.0))
    whole = pa.array(np.minimum(places, 1e18).astype(np.int64)).cast(pa.decimal128(19, 0))
    slack: Column = pc.multiply(pa.chunked_array([whole]), pa.scalar(_UNIT, pa.decimal128(18, 18)))
    return slack.cast(pa.decimal256(38, 18))


def _vwap_exact(bars: pa.Table) -> Column:
    """True if vwap is notional / priced volume, to half of its last place. Null without a vwap."""
    vwap, volume = bars["vwap"], bars["priced_volume"]
    is_wide = pc.or_(*(pc.greater_equal(pc.abs(each), _WIDE) for each in (vwap, volume)))
    narrow = pa.decimal256(30, 18)
    sizes = pc.if_else(is_wide, None, volume).cast(narrow)
    product = pc.multiply(pc.if_else(is_wide, None, vwap).cast(narrow), sizes)
    off = pc.abs(pc.subtract(product, bars["notional"].cast(pa.decimal256(56, 36))))
    half = pa.scalar(_UNIT / 2, pa.decimal256(19, 19))
    is_exact = pc.less_equal(off, pc.multiply(sizes, half)).combine_chunks()
    wide = bars.select(["vwap", "priced_volume", "notional"]).filter(is_wide).to_pylist()
    exact = [_is_exact(**row) for row in wide]
    mask = pc.fill_null(is_wide, False).combine_chunks()
    replaced = pc.replace_with_mask(is_exact, mask, pa.array(exact, pa.bool_()))
    return pa.chunked_array([replaced])


def _is_exact(vwap: Decimal | None, priced_volume: Decimal, notional: Decimal) -> bool | None:
    if vwap is None:
        return None
    with localcontext(prec=80):
        return abs(vwap * priced_volume - notional) <= priced_volume * _UNIT / 2


def _prints_inside(bars: pa.Table, is_base: Column, trades: pa.Table) -> Values:
    """Return the number of effective trades in each 1s bar, 0 for wider ones."""
    counting = effective(trades.select(["symbol", "event_ns", "duplicate", "cancelled"]))
    seconds = table_of(
        {
            "symbol": counting["symbol"],
            "start_ns": starts_of(counting["event_ns"], Resolution.SECOND),
        }
    )
    keys = ["symbol", "start_ns"]
    counts = seconds.group_by(keys).aggregate([([], "count_all")])
    counts = counts.sort_by([(key, "ascending") for key in keys])
    base = bars.select(keys).filter(is_base)
    if not all(base[name].equals(counts[name]) for name in keys):
        places = base.append_column("row", pa.array(np.arange(base.num_rows)))
        counts = places.join(counts, keys).sort_by("row")
    prints_of = np.zeros(bars.num_rows, dtype=np.int64)
    prints_of[flags(is_base)] = numbers(counts["count_all"])
    return pa.array(prints_of)


def _range_factors(bars: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return high / low, NaN for a bar without prices."""
    high, low = doubles(bars["high"]), doubles(bars["low"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(low > 0, high / low, np.nan)


def _widths(bars: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the width of each bar in ns, 0 for daily bars and unknown resolutions."""
    intraday = {resolution.value: resolution.width_ns for resolution in INTRADAY}
    dictionary = bars["resolution"].combine_chunks().dictionary_encode().dictionary.to_pylist()
    return np.array([intraday.get(str(name), 0) for name in dictionary])[codes(bars["resolution"])]


def _start_rest(bars: pa.Table, session: Session) -> Values:
    """Return the distance of each start to a valid one. A daily bar may only start at the open."""
    starts, widths = numbers(bars["start_ns"]), _widths(bars)
    daily = starts - (session.open_ns or 0)
    return pa.array(np.where(widths > 0, np.mod(starts, np.maximum(widths, 1)), daily))


def _seq_rest(bars: pa.Table, session: Session) -> Values:
    """Return the difference between `seq` and the bar's place in the session."""
    starts, widths = numbers(bars["start_ns"]), _widths(bars)
    place = np.where(widths > 0, (starts - session.start_ns) // np.maximum(widths, 1), 0)
    return pa.array(numbers(bars["seq"]) - place)


def _in_session(bars: pa.Table, session: Session) -> Values:
    """True if the whole bar is in the session. A day without a regular session has no daily bar."""
    starts, widths = numbers(bars["start_ns"]), _widths(bars)
    inside = (starts >= session.start_ns) & (starts + widths <= session.end_ns)
    return pa.array(inside & ((widths > 0) | (session.open_ns is not None)))


def _by_symbol(bars: pa.Table, resolution: Resolution, column: str) -> dict[str, float]:
    """Return one field of each symbol's bar of a resolution; the last bar wins."""
    rows = bars.filter(pc.equal(bars["resolution"], resolution.value))
    values = zip(rows["symbol"].to_pylist(), rows[column].to_pylist(), strict=True)
    return {name: float(value) for name, value in values if name is not None and value is not None}


def with_records(example: Mapping[str, str], trades: pa.Table) -> dict[str, str]:
    """Add the Kafka records of a bar's first and last trade to an example in a report."""
    width = {resolution.value: resolution.width_ns for resolution in Resolution}.get(
        example.get("resolution", "")
    )
    if width is None or not example.get("start_ns") or not example.get("symbol"):
        return dict(example)
    start = int(example["start_ns"])
    inside = pc.and_(
        pc.equal(trades["symbol"], example["symbol"]),
        pc.and_(
            pc.greater_equal(trades["event_ns"], start),
            pc.less(trades["event_ns"], start + width),
        ),
    )
    rows = trades.filter(inside).select(["topic", "partition", "offset", "index"])
    if not rows.num_rows:
        return dict(example) | {"first_record": "", "last_record": ""}
    ends = rows.take([0, rows.num_rows - 1]).to_pylist()
    first, last = (f"{at['topic']}/{at['partition']}@{at['offset']}.{at['index']}" for at in ends)
    return dict(example) | {"first_record": first, "last_record": last}
