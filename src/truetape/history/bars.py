"""Served bars for programs: as pandas frames, and as Arrow batches for whoever writes files.

Reads what readers are told, by the same calls as `truetape show`; computes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from truetape.history.period import When, Window, instant, window
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.venues import venue_named, venues
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.serving.store import BAR_NUMBERS, BarStore, ServedBar

if TYPE_CHECKING:
    import pandas
    import pyarrow

BATCH_ROWS = 50_000
"""Rows of an Arrow batch: what an export holds in memory at a time."""
_CATEGORIES = ("symbol", "venue", "layer")

Index = Literal["calendar", "session"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which bars a program asks for; no symbols means all."""

    resolution: Resolution
    window: Window
    symbols: Sequence[str] | None = None
    venue: str | None = None
    final_only: bool = False
    as_of_ns: int | None = None


def read_bars(
    symbols: str | Iterable[str],
    start: When,
    end: When | None = None,
    resolution: str = "1m",
    *,
    venue: str | None = None,
    final_only: bool = False,
    as_of: When | None = None,
    index: Index = "calendar",
    settings: Settings | None = None,
) -> "pandas.DataFrame":
    """Return the served bars of symbols in `[start, end)`, ordered by symbol, venue and start.

    `start` and `end` are instants with an offset, or trading days, like "2026-11-20"; without `end`
    all that there is. Index: `start` in UTC, or with index="session" the session's date and the
    bar's ordinal in it, which has no gap at night. Columns: symbol, venue, session, seq, open,
    high, low, close, volume, vwap (NaN where nothing was priced), trades, layer ("speed" or
    "batch"), final, rev. Bars whose trades were all cancelled are left out.

    `as_of`: the bars as they were known then, from what had been received. `settings`: those of the
    environment unless given. ConfigError for a window, resolution or venue that is none;
    TransientError when the store is away. No bar at all gives an empty frame of the same types.
    """
    import pyarrow

    settings = settings or Settings.from_env()
    chosen = Chosen(
        _resolution(resolution),
        window(start, end),
        [symbols] if isinstance(symbols, str) else list(symbols),
        venue,
        final_only,
        None if as_of is None else instant(as_of, "as_of"),
    )
    with closing(open_store(settings)) as store:
        table = pyarrow.Table.from_batches(bar_batches(settings, store, chosen), bar_schema())
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False)
    frame["session"] = frame["session"].astype("datetime64[s]")
    for name in _CATEGORIES:
        frame[name] = frame[name].astype("category")
    return frame.set_index("start" if index == "calendar" else ["session", "seq"])


def bar_schema() -> "pyarrow.Schema":
    """Return the columns of a program's bars."""
    import pyarrow as pa

    return pa.schema(
        [
            ("start", pa.timestamp("ns", "UTC")),
            ("symbol", pa.string()),
            ("venue", pa.string()),
            ("session", pa.date32()),
            ("seq", pa.int32()),
            *((name, pa.float64()) for name in BAR_NUMBERS),
            ("trades", pa.int64()),
            ("layer", pa.string()),
            ("final", pa.bool_()),
            ("rev", pa.int32()),
        ]
    )


def bar_batches(
    settings: Settings, store: BarStore, chosen: Chosen
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the chosen bars as Arrow batches of `bar_schema`, in bounded memory."""
    import pyarrow

    bars = (bar for bar in _bars(settings, store, chosen) if not bar.void)
    wanted = (bar for bar in bars if bar.final or not chosen.final_only)
    while part := list(islice(wanted, BATCH_ROWS)):
        yield pyarrow.RecordBatch.from_pylist([_row(bar) for bar in part], schema=bar_schema())


def _resolution(name: str) -> Resolution:
    known = [resolution.value for resolution in Resolution]
    if name not in known:
        raise ConfigError(f"no resolution {name!r}; there are {', '.join(known)}")
    return Resolution(name)


def _bars(settings: Settings, store: BarStore, chosen: Chosen) -> Iterator[ServedBar]:
    if chosen.as_of_ns is not None:
        yield from _known(settings, store, chosen, chosen.as_of_ns)
        return
    markets = venues().values() if chosen.venue is None else [venue_named(chosen.venue)]
    edges = {market.code: chosen.window.of(market) for market in markets}
    start, end = chosen.window.of_any() if chosen.venue is None else edges[chosen.venue]
    for bar in store.read(
        chosen.resolution, start, end, venue=chosen.venue, symbols=chosen.symbols
    ):
        first, last = edges.get(bar.venue, (start, end))
        if first <= bar.start_ns < last:
            yield bar


def _known(
    settings: Settings, store: BarStore, chosen: Chosen, as_of_ns: int
) -> Iterator[ServedBar]:
    from truetape.history.as_of import Asked, bars_as_of, venue_of

    for symbol in sorted(set(chosen.symbols or ())):
        market = venue_named(chosen.venue) if chosen.venue else venue_of(store, symbol)
        start, end = chosen.window.of(market)
        asked = Asked(market, symbol, chosen.resolution, start, min(end, as_of_ns + 1))
        yield from bars_as_of(settings, asked, as_of_ns)


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
