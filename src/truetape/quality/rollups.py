"""The gate's own fold: trades to bars and narrow bars to wide ones, compared with the stored bars.

It shares no line with the reference fold or Spark's, because a gate that asked the code under
suspicion would always agree with it. Here a trade is a bar of one print.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.resolution import Resolution
from truetape.quality.columns import Column, Values, remainder, scaled, table, table_of

FIELDS = (
    "open", "high", "low", "close", "volume", "notional", "priced_volume", "trades", "first",
    "last",
)  # fmt: skip
PRICE_SCALE = 9
MAX_ROWS = 300_000
"""Number of trades and bars that are folded at once. A row takes about 1 kB during the join."""

_NOTHING = table([], "resolution:text symbol:text start_ns:int equal:bool differs:text")
_VOLUME, _NOTIONAL = pa.decimal128(38, 8), pa.decimal128(38, 17)
_FOLDS: Mapping[str, Literal["first", "last", "max", "min", "sum"]] = {
    "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum",
    "notional": "sum", "priced_volume": "sum", "trades": "sum", "first": "min", "last": "max",
}  # fmt: skip


def prints(trades: pa.Table) -> pa.Table:
    """Return each effective trade as a bar of its own, with `in_day`; prices in units of 1e-9.

    `trades` must be ordered by symbol and ordinal.
    """
    counting = effective(trades)
    price, size = scaled(counting["price"], PRICE_SCALE), counting["size"]
    sets, ranges, counts = (counting[name] for name in ("open_close", "high_low", "counts"))
    priced = pc.and_(ranges, counts)
    nothing = pa.scalar(Decimal(0), pa.decimal128(18, 8))
    no_amount = pa.scalar(Decimal(0), pa.decimal128(37, 17))
    turnover = pc.multiply(counting["price"], size)
    return table_of(
        {
            "symbol": counting["symbol"],
            "start_ns": counting["event_ns"],
            "open": _where(sets, price),
            "high": _where(ranges, price),
            "low": _where(ranges, price),
            "close": _where(sets, price),
            "volume": pc.if_else(counts, size, nothing),
            "notional": pc.if_else(priced, turnover, no_amount),
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
    """Return the lake's bars of one resolution, ordered by symbol and start; prices in 1e-9."""
    rows = bars.filter(pc.equal(bars["resolution"], resolution.value)).sort_by(
        [("symbol", "ascending"), ("start_ns", "ascending")]
    )
    columns = {name: rows[name] for name in ("symbol", "start_ns", *FIELDS)}
    prices = {name: scaled(rows[name], PRICE_SCALE) for name in ("open", "high", "low", "close")}
    return table_of(columns | prices)


def roll_up(rows: pa.Table, starts: Values) -> pa.Table:
    """Merge bars with the same new start into one. `rows` must be ordered by symbol and start."""
    placed = rows.set_column(rows.column_names.index("start_ns"), "start_ns", starts)
    usable = placed.filter(pc.and_(placed["symbol"].is_valid(), placed["start_ns"].is_valid()))
    grouped = usable.group_by(["symbol", "start_ns"], use_threads=False)
    rolled = grouped.aggregate(list(_FOLDS.items()))
    names = {f"{name}_{fold}": name for name, fold in _FOLDS.items()}
    return rolled.rename_columns([names.get(name, name) for name in rolled.column_names])


def starts_of(event_ns: Column, resolution: Resolution) -> Values:
    """Return the start of the intraday bar that contains each timestamp."""
    starts: Column = pc.subtract(event_ns, remainder(event_ns, resolution.width_ns))
    return starts.combine_chunks()


def compare(folded: pa.Table, lake: pa.Table, resolution: Resolution) -> pa.Table:
    """Return a row for each bar of either side: whether all fields are equal, or which differ."""
    left, right = _side(folded, "folded"), _side(lake, "lake")
    keys = ["symbol", "start_ns"]
    both = left.join(right, keys, join_type="full outer")
    both = both.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    is_folded, in_lake = both["is_folded"].is_valid(), both["is_lake"].is_valid()
    in_both = pc.and_(is_folded, in_lake)
    fields = {name: _equal(both[f"{name}_folded"], both[f"{name}_lake"]) for name in FIELDS}
    names = [
        pc.if_else(pc.or_(same, pc.invert(in_both)), None, name) for name, same in fields.items()
    ]
    missing = pc.if_else(is_folded, pc.if_else(in_lake, None, "not stored"), "only stored")
    # the empty text in front, because Arrow drops a row whose parts are all null
    parts = ("", *names, missing, " ")
    differs = pc.utf8_ltrim_whitespace(pc.binary_join_element_wise(*parts, null_handling="skip"))
    return table_of(
        {
            "resolution": pa.array([resolution.value] * both.num_rows, pa.string()),
            "symbol": both["symbol"],
            "start_ns": both["start_ns"],
            "equal": pc.equal(differs, ""),
            "differs": differs,
        }
    )


def by_symbols(*tables: pa.Table) -> Iterator[tuple[pa.Table, ...]]:
    """Yield groups of symbols with their rows of each table: `MAX_ROWS` at most, or one symbol.

    Rows without a symbol are left out.
    """
    counts: Counter[str] = Counter()
    for rows in tables:
        for row in pc.value_counts(rows["symbol"].combine_chunks()).to_pylist():
            counts[row["values"]] += row["counts"]
    for symbols in _groups(counts):
        chosen = pa.array(symbols, pa.string())
        yield tuple(rows.filter(pc.is_in(rows["symbol"], chosen)) for rows in tables)


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of all comparisons, ordered by symbol; an empty table if there are none."""
    return pa.concat_tables([_NOTHING, *tables]).sort_by([("symbol", "ascending")])


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


def _side(rows: pa.Table, side: str) -> pa.Table:
    usable = rows.filter(pc.and_(rows["symbol"].is_valid(), rows["start_ns"].is_valid()))
    columns: dict[str, Column | Values] = {name: usable[name] for name in ("symbol", "start_ns")}
    columns |= {f"{name}_{side}": usable[name] for name in FIELDS}
    columns |= {
        f"{name}_{side}": usable[name].cast(_VOLUME) for name in ("volume", "priced_volume")
    }
    columns[f"notional_{side}"] = usable["notional"].cast(_NOTIONAL)
    columns[f"is_{side}"] = pa.array(np.ones(usable.num_rows, dtype=bool))
    return table_of(columns)


def _equal(left: Column, right: Column) -> Column:
    neither = pc.and_(left.is_null(), right.is_null())
    equal: Column = pc.or_(neither, pc.fill_null(pc.equal(left, right), False))
    return equal


def _where(chosen: Column, values: Column) -> Column:
    result: Column = pc.if_else(chosen, values, pa.scalar(None, values.type))
    return result
