"""Served bars for programs: as pandas frames, or as Arrow batches for writing files.

Reads the store by the same calls as `truetape show`; `timeframe_bars` rolls bars up.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Literal, get_args

from truetape.history.amount_bars import amount_bar_batches
from truetape.history.bar_columns import bar_schema
from truetape.history.bar_selection import BarSelection
from truetape.history.exact_bars import exact_batches
from truetape.history.period import When, parse_instant, parse_period
from truetape.history.timeframe_bars import BarReader
from truetape.history.trades import TradeSelection
from truetape.host.dates import shown
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.timeframes import require_amount, require_fill, require_timeframe
from truetape.host.venues import venue_named, venues
from truetape.host.words import require_symbols
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Fill, timeframe_of
from truetape.serving.backends import open_store
from truetape.serving.store import BAR_NUMBERS, BarStore, ServedBar

if TYPE_CHECKING:
    import pandas
    import pyarrow

BATCH_ROWS = 50_000
"""Rows of an Arrow batch: the most that an export has in memory."""
_CATEGORIES = ("symbol", "venue", "layer")

FrameIndex = Literal["calendar", "session"]
OriginName = Literal["utc", "open"]
FillName = Literal["none", "previous"]


def read_bars(
    symbols: str | Iterable[str],
    start: When,
    end: When | None = None,
    resolution: str = "1m",
    *,
    origin: OriginName = "utc",
    fill: FillName = "none",
    by: str | None = None,
    venue: str | None = None,
    final_only: bool = False,
    exact: bool = False,
    as_of: When | None = None,
    index: FrameIndex = "calendar",
    settings: Settings | None = None,
) -> "pandas.DataFrame":
    """Return the served bars of symbols in `[start, end)`, ordered by symbol, venue and start.

    `start` and `end` are instants with an offset, or trading days such as "2026-11-20"; without
    `end` the period is open. Index: `start` in UTC, or with index="session" the session's date and
    the bar's ordinal in it, which has no gap at night. Columns: symbol, venue, session, seq, open,
    high, low, close, volume, vwap (NaN without a priced trade), trades, layer ("speed" or "batch"),
    final, rev. Bars whose trades were all cancelled are left out.

    `resolution`: 1s, 1m, 5m, 1h and 1d are served; any other that divides a day (15s, 15m, 4h), 1w
    and 1M are rolled up from these (see `timeframe_bars`). `origin`: count bars narrower than a day
    from midnight UTC, or with "open" from the session's open. fill="previous" adds bars of layer
    "fill" where a regular session has none, at the close of the bar before.

    `by`: "trades=500", "volume=10000" or "notional=1000000" returns tick, volume or dollar bars
    instead, from the trades of the lake (see `market.amount_bars`); there is a column `end`, the
    time of a bar's last print. `exact` returns Decimals: of such bars, or of a resolution from the
    lake's recomputed bars, which equal a fold of the trades to the last digit.

    `as_of`: the bars as they were known then, from what had been received. `settings` default to
    the environment's. Raise ConfigError for an invalid argument; raise TransientError if the store
    does not answer. Without any bar, return an empty frame of the same types.
    """

    if index not in get_args(FrameIndex):
        raise ConfigError(f"no index {shown(index)}; there are {', '.join(get_args(FrameIndex))}")
    settings = settings or Settings.from_env()
    selection = BarSelection(
        require_timeframe(resolution, origin),
        parse_period(start, end),
        require_symbols(symbols),
        None if venue is None else venue_named(venue).code,
        final_only,
        None if as_of is None else parse_instant(as_of, "as_of"),
        require_fill(fill),
        exact,
    )
    if by is not None:
        return _frame(_by_amount(settings, selection, by), index)
    if exact:
        return _frame(_table(exact_bar_batches(settings, selection), bar_schema(exact=True)), index)
    with closing(open_store(settings)) as store:
        return _frame(_table(bar_batches(settings, store, selection), bar_schema()), index)


def _table(batches: Iterable["pyarrow.RecordBatch"], schema: "pyarrow.Schema") -> "pyarrow.Table":
    """Return batches as one table, by symbol and venue; inside these their order stays."""
    import pyarrow

    order: list[tuple[str, Literal["ascending", "descending"]]] = [
        (name, "ascending") for name in ("symbol", "venue", "start", "seq")
    ]
    return pyarrow.Table.from_batches(batches, schema).sort_by(order)


def _by_amount(settings: Settings, selection: BarSelection, by: str) -> "pyarrow.Table":
    import pyarrow.compute as pc

    default = BarSelection(timeframe_of(Resolution.MINUTE), selection.period)
    options = ("timeframe", "fill", "as_of_ns")
    if any(getattr(selection, name) != getattr(default, name) for name in options):
        raise ConfigError(
            "by makes bars of all archived trades; leave out resolution, origin, fill and as_of"
        )
    wanted = TradeSelection(selection.period, selection.symbols, selection.venue)
    batches = amount_bar_batches(settings, wanted, require_amount(by), exact=selection.exact)
    table = _table(batches, bar_schema(exact=selection.exact, with_end=True))
    return table.filter(pc.field("final")) if selection.final_only else table


def _frame(table: "pyarrow.Table", index: FrameIndex) -> "pandas.DataFrame":
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False)
    frame["session"] = frame["session"].astype("datetime64[s]")
    for name in _CATEGORIES:
        frame[name] = frame[name].astype("category")
    return frame.set_index("start" if index == "calendar" else ["session", "seq"])


def exact_bar_batches(
    settings: Settings, selection: BarSelection
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the selected bars, exact from the lake, as Arrow batches; see `exact_bars`.

    Raise ConfigError for a selection that needs served bars.
    """
    if selection.as_of_ns is not None or selection.fill is not Fill.NONE:
        raise ConfigError("exact bars are those of the last recompute; leave out as_of and fill")
    return exact_batches(settings, selection, bar_schema(exact=True))


def bar_batches(
    settings: Settings, store: BarStore, selection: BarSelection
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the selected bars as Arrow batches of `bar_schema`, in bounded memory."""
    import pyarrow

    bars = (bar for bar in _bars(settings, store, selection) if not bar.void)
    selected = (bar for bar in bars if bar.final or not selection.final_only)
    while part := list(islice(selected, BATCH_ROWS)):
        yield pyarrow.RecordBatch.from_pylist([_row(bar) for bar in part], schema=bar_schema())


def _bars(settings: Settings, store: BarStore, selection: BarSelection) -> Iterator[ServedBar]:
    reader = BarReader(settings, selection.timeframe, selection.fill, selection.as_of_ns or 0)
    if selection.as_of_ns is not None:
        yield from _bars_as_known(reader, store, selection)
        return
    yield from reader.read_period(
        store, selection.period, venue=selection.venue, symbols=selection.symbols
    )


def _bars_as_known(
    reader: BarReader, store: BarStore, selection: BarSelection
) -> Iterator[ServedBar]:
    from truetape.history.as_of import venue_of

    for symbol in sorted(set(selection.symbols or ())):
        market = venue_named(selection.venue) if selection.venue else venue_of(store, symbol)
        yield from reader.as_known(market, symbol, *selection.period.of(market))


def _row(bar: ServedBar) -> dict[str, object]:
    market = venues().get(bar.venue)
    row: dict[str, object] = {
        name: getattr(bar, name)
        for name in ("symbol", "venue", "seq", *BAR_NUMBERS, "trades", "layer", "final", "rev")
    }
    row["start"] = bar.start_ns
    row["session"] = None if market is None else market.date_of(bar.start_ns)
    row["vwap"] = bar.vwap or None
    return row
