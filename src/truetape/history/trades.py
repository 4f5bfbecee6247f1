"""Canonical trades for programs: as pandas frames, or as Arrow batches for writing files.

Reads the result of each session's last recompute; decides nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from truetape.history.period import Period, When, parse_period
from truetape.host.settings import Settings
from truetape.host.venues import venue_named, venues
from truetape.host.words import require_symbols
from truetape.kernel.doubles import doubles
from truetape.lake.delta import open_table
from truetape.lake.tables import Table

if TYPE_CHECKING:
    import pandas
    import pyarrow

COLUMNS = (
    "symbol", "venue", "session", "event_ns", "received_ns", "price", "size", "conditions", "feed",
    "id", "sequence", "tape", "exchange", "duplicate", "cancelled", "corrected", "late",
    "open_close", "high_low", "counts", "known", "topic", "partition", "offset", "index",
)  # fmt: skip
_TIMES = {"event_ns": "event_time", "received_ns": "received_time"}
_CATEGORIES = ("symbol", "venue", "feed", "tape", "exchange", "topic")
_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class TradeSelection:
    """The trades that a program asks for; None for symbols means all."""

    period: Period
    symbols: Sequence[str] | None = None
    venue: str | None = None
    in_force_only: bool = True


def read_trades(
    symbols: str | Iterable[str],
    start: When,
    end: When | None = None,
    *,
    venue: str | None = None,
    in_force_only: bool = True,
    exact: bool = False,
    settings: Settings | None = None,
) -> "pandas.DataFrame":
    """Return the trades of symbols in `[start, end)`, in the order in which they make bars.

    Index: `event_time` in UTC. Columns: symbol, venue, session, received_time, price, size (floats;
    Decimals with `exact`), conditions, feed, id, sequence, tape, exchange; the flags duplicate,
    cancelled, corrected, late; the fields that the profile lets the print set: open_close,
    high_low, counts (volume), known (all conditions known); its source: topic, partition, offset,
    index.
    Repeat deliveries and cancelled trades are left out unless `in_force_only` is False; a corrected
    trade has its new values.

    Raise ConfigError for an invalid symbol, period or venue, or if no session was ever recomputed.
    """
    import pyarrow

    settings = settings or Settings.from_env()
    names, code = require_symbols(symbols), None if venue is None else venue_named(venue).code
    selection = TradeSelection(parse_period(start, end), names, code, in_force_only)
    batches = trade_batches(settings, selection, exact=exact)
    table = pyarrow.Table.from_batches(batches, trade_schema(exact=exact))
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False)
    frame["session"] = frame["session"].astype("datetime64[s]")
    for name in _CATEGORIES:
        frame[name] = frame[name].astype("category")
    return frame.set_index("event_time")


def trade_schema(*, exact: bool = True) -> "pyarrow.Schema":
    """Return the columns of trades for programs; prices and sizes as decimals or doubles."""
    import pyarrow as pa

    from truetape.lake.schemas import TRADES

    kinds = {field.name: field.type for field in TRADES}
    kinds |= dict.fromkeys(_TIMES, pa.timestamp("ns", "UTC"))
    if not exact:
        kinds |= dict.fromkeys(("price", "size"), pa.float64())
    return pa.schema([(_TIMES.get(name, name), kinds[name]) for name in COLUMNS])


def trade_batches(
    settings: Settings, selection: TradeSelection, *, exact: bool = False
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the selected trades as Arrow batches of `trade_schema`, one session at a time."""
    import pyarrow

    schema = trade_schema(exact=exact)
    for table in session_tables(settings, selection, COLUMNS):
        columns = [_as(table[name], schema.field(_TIMES.get(name, name)).type) for name in COLUMNS]
        yield from pyarrow.table(columns, schema=schema).to_batches()


def _as(column: Any, kind: "pyarrow.DataType") -> Any:
    import pyarrow

    if pyarrow.types.is_decimal(column.type) and pyarrow.types.is_floating(kind):
        return doubles(column)
    return column.cast(kind, safe=False)


def session_tables(
    settings: Settings, selection: TradeSelection, columns: Sequence[str], *, whole: bool = False
) -> Iterator["pyarrow.Table"]:
    """Yield columns of the selected trades as rows of the lake, one session at a time, by symbol
    and `ordinal`. `whole`: also the trades of these sessions that lie outside of the period.
    """
    import pyarrow
    import pyarrow.compute as pc

    trades = open_table(settings.lake, Table.TRADES)
    for venue, day in _partitions(trades.partitions(), selection):
        condition = (pc.field("venue") == venue) & (pc.field("session") == day)
        if not whole:
            start, end = selection.period.of(venues()[venue])
            condition &= (pc.field("event_ns") >= start) & (pc.field("event_ns") < end)
        if selection.symbols is not None:
            names = pyarrow.array(selection.symbols, pyarrow.string())  # typed, also without any
            condition &= pc.field("symbol").isin(names)
        if selection.in_force_only:
            condition &= ~pc.field("duplicate") & ~pc.field("cancelled")
        table = trades.select(
            [*dict.fromkeys([*columns, "ordinal"])],
            condition,
            batch_size=_BATCH_ROWS,
            batch_readahead=2,
            fragment_readahead=1,
        )
        yield table.sort_by([("symbol", "ascending"), ("ordinal", "ascending")])


def _partitions(
    parts: Iterable[Mapping[str, object]], selection: TradeSelection
) -> list[tuple[str, date]]:
    """Return the venues and dates that may have trades in the period, by date."""
    by_code = venues()
    partitions = []
    for part in parts:
        venue, day = str(part["venue"]), date.fromisoformat(str(part["session"]))
        if venue not in by_code or selection.venue not in (None, venue):
            continue
        start, end = selection.period.of(by_code[venue])
        day_start = by_code[venue].session_start_ns(day)
        day_end = by_code[venue].session_start_ns(day + timedelta(days=1))
        if day_start < end and start < day_end:
            partitions.append((venue, day))
    return sorted(partitions, key=lambda partition: (partition[1], partition[0]))
