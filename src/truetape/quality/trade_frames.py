"""The frames of a session's trades: their columns, and derived columns that rules read. Pure.

Everything is computed on whole columns. Python loops run over symbols or feeds at most.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.feeds.contract import prices_are_positive
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session, Venue
from truetape.quality.amendment_frame import amendment_rows
from truetape.quality.baselines import History, usual_trades
from truetape.quality.columns import (
    Column,
    Values,
    codes,
    doubles,
    flags,
    floats,
    names,
    numbers,
    packed,
    place_in_run,
    remainder,
    rolling_medians,
    scaled,
    table,
    table_of,
)
from truetape.quality.frames import Frame
from truetape.quality.rollups import effective
from truetape.quality.session_tables import Coverage, SessionTables

ROLLING_TRADES = 50
"""A price is compared with this many earlier ones, as in Barndorff-Nielsen et al. 2009, rule Q4."""
LEAST_SPREAD = 0.001
"""Lower bound of the deviation, as a share of the price: in an idle market it would be zero."""
LEAST_TRADES = 1_000
"""With fewer trades of a symbol, one print may be a large part of its volume."""
ROUND_LOT = 100
CLOSED_DAY_S = 86_400
NUMBERED_FEEDS = ("binance", "kraken-rest")
"""Feeds that number the trades of a symbol without a gap."""
OFF_EXCHANGE = "D"
"""The exchange letter of trades reported to FINRA, which follow no tick grid."""
_GRID_DECIMALS = 9
_DOLLAR, _CENT, _HUNDREDTH = (10 ** (_GRID_DECIMALS - decimals) for decimals in (0, 2, 4))
_FEED_COLUMNS = (
    "feed:text trades:int duplicate_share:float late_p50_s:float late_p99_s:float late_max_s:float "
    "backward_share:float odd_lot_share:float off_exchange_share:float"
)


def trade_frames(
    tables: SessionTables, venue: Venue, history: History, now_ns: int
) -> Iterator[Frame]:
    """Yield the frames of the trades suite, or only the schema's frames if a column is missing."""
    columns = [declared.partition(" ")[0] for declared in tables.declared_trades]
    yield Frame("columns", pa.table({name: pa.array([], pa.string()) for name in columns}))
    yield Frame("types", pa.table({"declared": list(tables.declared_trades)}))
    if tables.trades is None:
        return
    yield Frame("trades", trade_rows(tables.trades, tables.session, venue))
    yield Frame("feeds", feed_rows(tables.trades, venue))
    yield Frame("series", series_rows(tables.trades))
    yield Frame("symbols", symbol_rows(tables.trades, history))
    yield Frame("partitions", partition_rows(tables.coverage))
    yield Frame("amendments", amendment_rows(tables, now_ns))
    yield Frame("session", _session_row(tables))


def trade_rows(trades: pa.Table, session: Session, venue: Venue) -> pa.Table:
    """Add the derived columns that rules about single trades read."""
    columns = {
        "keyed": pc.and_(trades["id"].is_valid(), pc.invert(trades["duplicate"])),
        "ahead_ns": pc.subtract(trades["event_ns"], trades["received_ns"]),
        "off_hours_s": off_hours(trades["event_ns"], session),
        "on_grid": pc.and_(
            pc.not_equal(pc.fill_null(trades["exchange"], ""), OFF_EXCHANGE), venue.us_equities
        ),
        "grid_rest": _grid_rest(trades["price"]),
        "positive_only": positive_only(trades["feed"]),
        "deviation": deviations(trades),
        "volume_share": volume_shares(trades, session),
    }
    for name, column in columns.items():
        trades = trades.append_column(name, column)
    return trades


def positive_only(feeds: Column) -> Column:
    """Return which trades are of feeds whose contract refuses prices of zero and below."""
    allowed = [feed for feed in pc.unique(feeds).to_pylist() if prices_are_positive(feed)]
    marks: Column = pc.is_in(feeds, pa.array(allowed, pa.string()))
    return marks


def off_hours(event_ns: Column, session: Session) -> Column:
    """Return the distance to the regular session in seconds: negative before it, positive after it.

    On a day without a regular session it is a whole day.
    """
    if session.open_ns is None or session.close_ns is None:
        return pa.chunked_array([pa.array(np.full(len(event_ns), CLOSED_DAY_S))])
    before = pc.min_element_wise(pc.subtract(event_ns, session.open_ns), 0)
    after = pc.max_element_wise(pc.subtract(event_ns, session.close_ns - 1), 0)
    seconds: Column = pc.divide(pc.add(before, after), SECOND_NS)
    return seconds


def deviations(trades: pa.Table) -> Values:
    """Return the distance of a price to the median of the 50 before it, in rolling deviations.

    The deviation is the median absolute deviation of the 50 prices before, at least 0.1 % of the
    price. Only effective prints that count for high and low are used and judged. The result is null
    for the first 100 of them of each symbol.
    """
    valid = np.asarray(trades["price"].is_valid())
    counts = flags(trades["high_low"]) & ~flags(trades["duplicate"]) & ~flags(trades["cancelled"])
    chosen = np.flatnonzero(valid & counts)
    price = doubles(trades["price"])[chosen]
    middle = _before(rolling_medians(price, ROLLING_TRADES))
    away = np.abs(price - middle)
    usual = _before(rolling_medians(away, ROLLING_TRADES))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = away / np.maximum(usual, LEAST_SPREAD * np.abs(middle))
    place = place_in_run(codes(trades["symbol"])[chosen])
    distance[place < 2 * ROLLING_TRADES] = np.nan  # the medians would mix two symbols
    every = np.full(trades.num_rows, np.nan)
    every[chosen] = distance
    return floats(every)


def _before(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the value before each, NaN for the first."""
    return np.concatenate([[np.nan], values])[: len(values)]


def volume_shares(trades: pa.Table, session: Session) -> Values:
    """Return a print's share of its symbol's volume in the session.

    It is null for symbols with few trades, and for auctions, which are large every day.
    """
    symbol, size = codes(trades["symbol"]), doubles(trades["size"])
    counts = flags(trades["counts"]) & ~flags(trades["duplicate"]) & ~flags(trades["cancelled"])
    total = np.bincount(symbol, np.where(counts, size, 0.0))
    prints = np.bincount(symbol, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = size / total[symbol]
    auction = flags(trades["auction"]) | _in_closing_auction(trades, session)
    share[~counts | auction | (prints[symbol] < LEAST_TRADES)] = np.nan
    return floats(share)


def _in_closing_auction(trades: pa.Table, session: Session) -> NDArray[np.bool_]:
    start, end = session.auction_ns or (0, 0)
    event_ns = numbers(trades["event_ns"])
    return (event_ns >= start) & (event_ns < end)


def feed_rows(trades: pa.Table, venue: Venue) -> pa.Table:
    """Return lateness, order and shares of each feed of a session."""
    feed_of = codes(trades["feed"])
    late_s = doubles(pc.subtract(trades["received_ns"], trades["event_ns"])) / SECOND_NS
    duplicate, backward = flags(trades["duplicate"]), _backward(trades)
    odd_lot = doubles(trades["size"]) < ROUND_LOT
    off_exchange = flags(pc.equal(trades["exchange"], OFF_EXCHANGE))
    rows = []
    for code, feed in enumerate(names(trades["feed"])):
        of_feed = feed_of == code
        first = of_feed & ~duplicate
        p50, p99, most = np.nanquantile(late_s[first], (0.5, 0.99, 1.0))
        rows.append(
            {
                "feed": feed,
                "trades": int(of_feed.sum()),
                "duplicate_share": float(duplicate[of_feed].mean()),
                "late_p50_s": float(p50),
                "late_p99_s": float(p99),
                "late_max_s": float(most),
                "backward_share": float(backward[of_feed].mean()),
                "odd_lot_share": float(odd_lot[first].mean()) if venue.us_equities else None,
                "off_exchange_share": float(off_exchange[first].mean())
                if venue.us_equities
                else None,
            }
        )
    return table(rows, _FEED_COLUMNS)


def series_rows(trades: pa.Table) -> pa.Table:
    """Count the ids that are missing between the first and the last one, for numbered feeds."""
    chosen = pc.and_(
        pc.is_in(trades["feed"], pa.array(NUMBERED_FEEDS)),
        pc.match_substring_regex(pc.fill_null(trades["id"], ""), "^[0-9]{1,18}$"),
    )
    rows = trades.filter(chosen)
    numbered = table_of(
        {name: rows[name] for name in ("feed", "symbol")} | {"id": rows["id"].cast(pa.int64())}
    )
    series = numbered.group_by(["feed", "symbol"]).aggregate(
        [("id", "min"), ("id", "max"), ("id", "count_distinct")]
    )
    span = pc.add(pc.subtract(series["id_max"], series["id_min"]), 1)
    ids = series["id_count_distinct"]
    return table_of(
        {
            "feed": series["feed"],
            "symbol": series["symbol"],
            "ids": ids,
            "missing": pc.subtract(span, ids),
        }
    )


def symbol_rows(trades: pa.Table, history: History) -> pa.Table:
    """Return each symbol's trades beside its usual number, also for symbols without trades now."""
    counts = trades_by_symbol(trades)
    rows = []
    for symbol in sorted(counts.keys() | history.keys()):
        usual = usual_trades(history.get(symbol, ()))
        count = counts.get(symbol, 0)
        if count or usual:
            ratio = count / usual if usual else None
            rows.append({"symbol": symbol, "trades": count, "usual_trades": usual, "ratio": ratio})
    return table(rows, "symbol:text trades:int usual_trades:float ratio:float")


def newest_receipt_ns(trades: pa.Table) -> int:
    """Return the latest receipt time, 0 if no trade has one."""
    return pc.max(trades["received_ns"]).as_py() or 0


def trades_by_symbol(trades: pa.Table) -> dict[str, int]:
    """Return the number of effective trades of each symbol."""
    counting = effective(trades.select(["symbol", "duplicate", "cancelled"]))
    values = pc.value_counts(counting["symbol"].combine_chunks()).to_pylist()
    return {row["values"]: row["counts"] for row in values if row["values"] is not None}


def partition_rows(coverage: Sequence[Coverage]) -> pa.Table:
    """Return how many offsets a partition lacks, and how many are archived repeatedly."""
    rows = [
        {
            "topic": part.topic,
            "partition": part.partition,
            "first": part.offsets.start,
            "last": part.offsets.last,
            "records": part.records,
            "holes": part.offsets.size - part.distinct,
            "repeats": part.records - part.distinct,
        }
        for part in coverage
    ]
    return table(
        rows, "topic:text partition:int first:int last:int records:int holes:int repeats:int"
    )


def _session_row(tables: SessionTables) -> pa.Table:
    session = tables.session
    rows = 0 if tables.trades is None else tables.trades.num_rows
    row = {
        "venue": session.venue,
        "session": str(session.date),
        "archived": tables.archived,
        "recomputed": rows,
        "missed_share": (tables.archived - rows) / max(1, tables.archived),
    }
    columns = "venue:text session:text archived:int recomputed:int missed_share:float"
    return table([row], columns)


def _grid_rest(price: Column) -> Column:
    """Return price modulo tick size, in 1e-9: a cent, or a hundredth of a cent below a dollar. A
    price with more decimals is off the grid by one.
    """
    units = scaled(price, _GRID_DECIMALS)
    from_a_dollar = pc.greater_equal(units, _DOLLAR)
    rest = pc.if_else(from_a_dollar, remainder(units, _CENT), remainder(units, _HUNDREDTH))
    is_finer = pc.and_(price.is_valid(), units.is_null())
    result: Column = pc.if_else(is_finer, 1, rest)
    return result


def _backward(trades: pa.Table) -> NDArray[np.bool_]:
    """True for each trade that is older than the one before it of the same feed and partition."""
    partition = ("feed", "topic", "partition")
    order = np.argsort(packed(trades, [*partition, "offset", "index"]), kind="stable")
    same = np.diff(packed(trades, partition)[order], prepend=-1) == 0
    event_ns = numbers(trades["event_ns"])[order]
    backward = np.zeros(len(order), dtype=bool)
    backward[order] = same & (np.diff(event_ns, prepend=event_ns[:1]) < 0)
    return backward
