"""Roll-ups done once more, on columns: trades to bars and narrow bars to wider ones, compared.

A third fold beside the reference and Spark's, sharing no line with either: a gate that asked the
code under suspicion would always agree with it. A trade is a bar of one print here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.resolution import Resolution
from truetape.quality.columns import remainder, table, whole

FIELDS = (
    "open", "high", "low", "close", "volume", "notional", "priced_volume", "trades", "first",
    "last",
)  # fmt: skip
PRICE_SCALE = 9
MAX_ROWS = 300_000
"""Trades and bars that are folded at once; while they are joined, each takes about a kilobyte."""

_NOTHING = table([], "resolution:text symbol:text start_ns:int equal:bool differs:text")
_VOLUME, _NOTIONAL = pa.decimal128(38, 8), pa.decimal128(38, 17)
_FOLDS = {
    "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum",
    "notional": "sum", "priced_volume": "sum", "trades": "sum", "first": "min", "last": "max",
}  # fmt: skip


def prints(trades: pa.Table) -> pa.Table:
    """Return each trade that is in force as a bar of its own, with `in_day`; prices in 1e-9.

    `trades` are ordered by symbol and ordinal.
    """
    counting = in_force(trades)
    price, size = whole(counting["price"], PRICE_SCALE), counting["size"]
    sets, ranges, counts = (counting[name] for name in ("open_close", "high_low", "counts"))
    priced = pc.and_(ranges, counts)
    nothing = pa.scalar(Decimal(0), pa.decimal128(18, 8))
    no_amount = pa.scalar(Decimal(0), pa.decimal128(37, 17))
    turnover = pc.multiply(counting["price"], size)
    return pa.table(
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


def in_force(trades: pa.Table) -> pa.Table:
    """Return the trades that are neither repeat deliveries nor cancelled."""
    return trades.filter(pc.invert(pc.or_(trades["duplicate"], trades["cancelled"])))


def stored(bars: pa.Table, resolution: Resolution) -> pa.Table:
    """Return the lake's bars of one width, prices in 1e-9; `bars` are ordered by symbol."""
    some = bars.filter(pc.equal(bars["resolution"], resolution.value)).sort_by(
        [("symbol", "ascending"), ("start_ns", "ascending")]
    )
    columns = {name: some[name] for name in ("symbol", "start_ns", *FIELDS)}
    prices = {name: whole(some[name], PRICE_SCALE) for name in ("open", "high", "low", "close")}
    return pa.table(columns | prices)


def merged(rows: pa.Table, starts: pa.Array) -> pa.Table:
    """Merge bars that get the same start into one; `rows` are ordered by symbol and start."""
    placed = rows.set_column(rows.column_names.index("start_ns"), "start_ns", starts)
    usable = placed.filter(pc.and_(placed["symbol"].is_valid(), placed["start_ns"].is_valid()))
    grouped = usable.group_by(["symbol", "start_ns"], use_threads=False)
    made = grouped.aggregate(list(_FOLDS.items()))
    names = {f"{name}_{fold}": name for name, fold in _FOLDS.items()}
    return made.rename_columns([names.get(name, name) for name in made.column_names])


def starts_of(instants: pa.ChunkedArray, resolution: Resolution) -> pa.Array:
    """Return the start of the intraday bar that holds each instant."""
    return pc.subtract(instants, remainder(instants, resolution.width_ns)).combine_chunks()


def compare(made: pa.Table, found: pa.Table, resolution: Resolution) -> pa.Table:
    """Return a row for each bar of either side: whether all fields are equal, else which differ."""
    left, right = _side(made, "made"), _side(found, "found")
    keys = ["symbol", "start_ns"]
    both = left.join(right, keys, join_type="full outer")
    both = both.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    is_made, is_found = both["is_made"].is_valid(), both["is_found"].is_valid()
    there = pc.and_(is_made, is_found)
    fields = {name: _equal(both[f"{name}_made"], both[f"{name}_found"]) for name in FIELDS}
    names = [
        pc.if_else(pc.or_(same, pc.invert(there)), None, name) for name, same in fields.items()
    ]
    missing = pc.if_else(is_made, pc.if_else(is_found, None, "not stored"), "only stored")
    # the empty text in front: Arrow drops a row whose parts are all null
    parts = ("", *names, missing, " ")
    differs = pc.utf8_ltrim_whitespace(pc.binary_join_element_wise(*parts, null_handling="skip"))
    return pa.table(
        {
            "resolution": pa.array([resolution.value] * both.num_rows, pa.string()),
            "symbol": both["symbol"],
            "start_ns": both["start_ns"],
            "equal": pc.equal(differs, ""),
            "differs": differs,
        }
    )


def by_symbols(*tables: pa.Table) -> Iterator[tuple[pa.Table, ...]]:
    """Yield the rows of some symbols of each table, together `MAX_ROWS` at most, or one symbol's.

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
    """Return the rows of several comparisons, of none as well, ordered by symbol."""
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
    columns = {name: usable[name] for name in ("symbol", "start_ns")}
    columns |= {f"{name}_{side}": usable[name] for name in FIELDS}
    columns |= {
        f"{name}_{side}": usable[name].cast(_VOLUME) for name in ("volume", "priced_volume")
    }
    columns[f"notional_{side}"] = usable["notional"].cast(_NOTIONAL)
    columns[f"is_{side}"] = pa.array(np.ones(usable.num_rows, dtype=bool))
    return pa.table(columns)


def _equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    neither = pc.and_(left.is_null(), right.is_null())
    return pc.or_(neither, pc.fill_null(pc.equal(left, right), False))


def _where(chosen: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(chosen, values, pa.scalar(None, values.type))
