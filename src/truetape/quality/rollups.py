"""The gate's own fold: trades to bars and narrow bars to wide ones, compared with the stored bars.

It shares no line with the reference fold or Spark's, because a gate that asked the code under
suspicion would always agree with it. Here a trade is a bar of one print.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.resolution import Resolution
from truetape.quality.columns import (
    NUMBER,
    Column,
    Values,
    products,
    remainder,
    table,
    table_of,
)

FIELDS = (
    "open", "high", "low", "close", "volume", "notional", "priced_volume", "trades", "first",
    "last",
)  # fmt: skip
MAX_ROWS = 300_000
"""Number of trades and bars that are folded at once. A row takes about 1 kB during the join."""

_NOTHING = table([], "resolution:text symbol:text start_ns:int equal:bool differs:text")
_KEY = ["symbol", "start_ns"]
_ENDS: Mapping[str, Literal["first", "last"]] = {"open": "first", "close": "last"}
_FOLDS: Mapping[str, Literal["max", "min", "sum"]] = {
    "high": "max", "low": "min", "volume": "sum", "notional": "sum", "priced_volume": "sum",
    "trades": "sum", "first": "min", "last": "max",
}  # fmt: skip


def prints(trades: pa.Table) -> pa.Table:
    """Return each effective trade as a bar of its own, with `in_day`.

    `trades` must be ordered by symbol and ordinal.
    """
    counting = effective(trades)
    price, size = counting["price"], counting["size"]
    sets, ranges, counts = (counting[name] for name in ("open_close", "high_low", "counts"))
    priced = pc.and_(ranges, counts)
    nothing = pa.scalar(Decimal(0), NUMBER)
    turnover = products(price, size)
    return table_of(
        {
            "symbol": counting["symbol"],
            "start_ns": counting["event_ns"],
            "open": _where(sets, price),
            "high": _where(ranges, price),
            "low": _where(ranges, price),
            "close": _where(sets, price),
            "volume": pc.if_else(counts, size, nothing),
            "notional": pc.if_else(priced, turnover, nothing),
            "priced_volume": pc.if_else(priced, size, nothing),
            "trades": pc.cast(counts, pa.int64()),
            "first": _where(sets, counting["ordinal"]),
            "last": _where(sets, counting["ordinal"]),
            "in_day": counting["in_day"],
        }
    )


def effective(trades: pa.Table) -> pa.Table:
    """Return the trades that are neither duplicates nor cancelled."""
    return trades.filter(pc.invert(pc.or_(trades["duplicate"], trades["cancelled"])))


def stored(bars: pa.Table, resolution: Resolution) -> pa.Table:
    """Return the lake's bars of one resolution."""
    rows = bars.filter(pc.equal(bars["resolution"], resolution.value))
    return rows.select([*_KEY, *FIELDS])


def roll_up(rows: pa.Table, starts: Values) -> pa.Table:
    """Merge bars with the same new start into one. `rows` must be ordered by symbol and start."""
    placed = rows.set_column(rows.column_names.index("start_ns"), "start_ns", starts)
    usable = _with_key(placed)
    numbers = pa.array(np.arange(usable.num_rows))
    numbered = reduce(lambda rows, end: _numbered(rows, end, numbers), _ENDS, usable)
    grouped = numbered.group_by(["symbol", "start_ns"], use_threads=False)
    ends = {f"{name}_row": fold for name, fold in _ENDS.items()}
    rolled = grouped.aggregate([*ends.items(), *_FOLDS.items()])
    prices = {name: usable[name].take(rolled[f"{name}_row_{_ENDS[name]}"]) for name in _ENDS}
    sums = {name: rolled[f"{name}_{fold}"] for name, fold in _FOLDS.items()}
    keys = {name: rolled[name] for name in ("symbol", "start_ns")}
    return table_of(keys | prices | sums).select(["symbol", "start_ns", *FIELDS])


def starts_of(event_ns: Column, resolution: Resolution) -> Values:
    """Return the start of the intraday bar that contains each timestamp."""
    starts: Column = pc.subtract(event_ns, remainder(event_ns, resolution.width_ns))
    return starts.combine_chunks()


def compare(folded: pa.Table, lake: pa.Table, resolution: Resolution) -> pa.Table:
    """Return a row for each bar of either side: whether all fields are equal, or which differ.

    Both must be ordered by symbol and start.
    """
    left, right = _aligned(_with_key(folded), _with_key(lake))
    in_both = pc.and_(left["symbol"].is_valid(), right["symbol"].is_valid())
    equal = reduce(pc.and_, (_equal(left[name], right[name]) for name in FIELDS), in_both)
    rest = pc.invert(equal).combine_chunks()
    differences = _differences(left.filter(rest), right.filter(rest))
    return table_of(
        {
            "resolution": _repeated(resolution.value, len(equal)),
            "symbol": pc.coalesce(left["symbol"], right["symbol"]),
            "start_ns": pc.coalesce(left["start_ns"], right["start_ns"]),
            "equal": equal,
            "differs": pc.replace_with_mask(_repeated("", len(equal)), rest, differences),
        }
    )


def by_symbols(*tables: pa.Table) -> Iterator[tuple[pa.Table, ...]]:
    """Yield groups of symbols with their rows of each table: `MAX_ROWS` at most, or one symbol.

    The tables must be ordered by symbol. Rows without a symbol are left out.
    """
    places = [_places(rows["symbol"]) for rows in tables]
    counts: Counter[str] = Counter()
    for places_of_table in places:
        counts.update({symbol: len(rows) for symbol, rows in places_of_table.items()})
    for symbols in _groups(counts):
        yield tuple(
            rows.slice(*_extent(places_of_table, symbols))
            for rows, places_of_table in zip(tables, places, strict=True)
        )


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of all comparisons, ordered by symbol; an empty table if there are none."""
    return pa.concat_tables([_NOTHING, *tables]).sort_by([("symbol", "ascending")])


def _places(symbols: Column) -> dict[str, range]:
    """Return the rows of each symbol, in a column that is ordered."""
    runs = pc.run_end_encode(symbols.combine_chunks())
    ends = runs.run_ends.to_pylist()
    rows = map(range, [0, *ends[:-1]], ends)
    places: dict[str, range] = dict(zip(runs.values.to_pylist(), rows, strict=True))
    return {symbol: rows for symbol, rows in places.items() if symbol is not None}


def _extent(places: Mapping[str, range], symbols: Sequence[str]) -> tuple[int, int]:
    """Return the first row of these symbols, which follow one another, and the number of rows."""
    rows = [places[symbol] for symbol in symbols if symbol in places]
    return (rows[0].start, rows[-1].stop - rows[0].start) if rows else (0, 0)


def _groups(counts: Mapping[str, int]) -> Iterator[list[str]]:
    group, rows = list[str](), 0
    for symbol in sorted(name for name in counts if name is not None):
        if group and rows + counts[symbol] > MAX_ROWS:
            yield group
            group, rows = [], 0
        group.append(symbol)
        rows += counts[symbol]
    if group:
        yield group


def _with_key(rows: pa.Table) -> pa.Table:
    if not any(rows[key].null_count for key in _KEY):
        return rows
    return rows.filter(pc.and_(rows["symbol"].is_valid(), rows["start_ns"].is_valid()))


def _aligned(left: pa.Table, right: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of both sides with equal keys beside each other, null where either side lacks
    the key, ordered by key.
    """
    left = left.sort_by([(key, "ascending") for key in _KEY])
    if all(left[key].equals(right[key]) for key in _KEY):
        return left, right
    numbered = [rows.select(_KEY).append_column(side, pa.array(np.arange(rows.num_rows)))
                for side, rows in (("left", left), ("right", right))]  # fmt: skip
    both = numbered[0].join(numbered[1], _KEY, join_type="full outer")
    both = both.sort_by([(key, "ascending") for key in _KEY])
    return left.take(both["left"]), right.take(both["right"])


def _differences(left: pa.Table, right: pa.Table) -> Values:
    """Return the names of the fields that differ, or the side that lacks the bar."""
    is_left, is_right = left["symbol"].is_valid(), right["symbol"].is_valid()
    in_both = pc.and_(is_left, is_right)
    names = [
        pc.if_else(pc.and_not(in_both, _equal(left[name], right[name])), f" {name}", "")
        for name in FIELDS
    ]
    missing = pc.if_else(is_left, pc.if_else(is_right, "", "not stored"), "only stored")
    joined = pc.binary_join_element_wise(*names, missing, "").combine_chunks()
    texts: Values = pc.utf8_ltrim_whitespace(joined)
    return texts


def _repeated(text: str, count: int) -> Values:
    return pa.repeat(pa.scalar(text), count)


def _numbered(rows: pa.Table, price: str, numbers: Values) -> pa.Table:
    """Add the numbers of the rows that have a price: Arrow finds no first decimal of a group."""
    own = pc.if_else(rows[price].is_valid(), numbers, None)
    return rows.append_column(f"{price}_row", own)


def _equal(left: Column, right: Column) -> Column:
    neither = pc.and_(left.is_null(), right.is_null())
    equal: Column = pc.or_(neither, pc.fill_null(pc.equal(left, right), False))
    return equal


def _where(chosen: Column, values: Column) -> Column:
    result: Column = pc.if_else(chosen, values, pa.scalar(None, values.type))
    return result
