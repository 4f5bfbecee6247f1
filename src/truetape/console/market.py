"""The market page: symbols, venues and sessions to choose from, the chart, one bar's lineage.

Only reads served bars and the drift ledger.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from truetape.drift.ledger import DriftLedger
from truetape.history.timeframe_bars import BarReader
from truetape.host import calendars
from truetape.host.errors import ConfigError, NotThereError
from truetape.host.settings import Settings
from truetape.host.venues import venue_named
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Timeframe
from truetape.serving.backends import open_store
from truetape.serving.chart import Extras, Oscillator, figure_json
from truetape.serving.store import BarStore, IndicatorRow, ServedBar

if TYPE_CHECKING:
    from truetape.history.lineage import Lineage

DEFAULT_BARS = 390
"""Bars of a chart without a chosen session: the minutes of a regular session."""
MAX_BARS = 25_000
"""The most bars of one chart: a session of seconds."""
OFFERED = ("1s", "15s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M")
"""The widths that the form offers; an address may name any other."""


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """What a chart shows. Without a session it shows the newest bars; a symbol that is served on
    one venue only needs no venue.
    """

    symbol: str
    venue: str
    timeframe: Timeframe
    session: date | None
    below: Oscillator = Oscillator.NONE


@dataclass(frozen=True, slots=True)
class MarketPage:
    """The market page: the chart, and the values that its form offers."""

    chart: ChartRequest
    symbols: tuple[str, ...]
    resolutions: tuple[str, ...]
    venues: tuple[str, ...]
    before: date | None
    after: date | None


def page(settings: Settings, chart: ChartRequest) -> MarketPage:
    """Return the page of a chart. A request without a symbol gets the first symbol of the store."""
    with closing(open_store(settings)) as store:
        symbols = symbols_of(store)
        if not chart.symbol and symbols:
            chart = replace(chart, symbol=symbols[0])
        served = _venues_of(store, chart.symbol) if chart.symbol else []
    if not chart.venue and len(served) == 1:
        chart = replace(chart, venue=served[0])
    before, after = _neighbours(chart)
    return MarketPage(
        chart,
        tuple(symbols),
        tuple(dict.fromkeys((*OFFERED, chart.timeframe.value))),
        tuple(served),
        before,
        after,
    )


def symbols_of(store: BarStore) -> list[str]:
    """Return the symbols that have one-minute or daily bars."""
    return sorted({*store.symbols(Resolution.MINUTE), *store.symbols(Resolution.DAY)})


def chart_json(settings: Settings, chart: ChartRequest) -> str:
    """Return the chart as JSON for plotly: candles, volume, indicators, marks of changed bars."""
    with closing(open_store(settings)) as store:
        venue = _venue_of(store, chart)
        reader = BarReader(settings, chart.timeframe)
        bars = _bars(store, reader, replace(chart, venue=venue))
        indicators = _indicators(store, chart, venue, bars)
    changed = _changed(reader, venue, chart.symbol, bars)
    return figure_json(bars, Extras(indicators, changed, chart.below))


def lineage(settings: Settings, chart: ChartRequest, start_ns: int) -> "Lineage":
    """Return a bar's trades and history. Raise NotThereError if there is no such bar."""
    from truetape.history.explain import explain_bar

    with closing(open_store(settings)) as store:
        venue = _venue_of(store, chart)
    stored = chart.timeframe.stored
    if stored is None:
        raise ConfigError(f"{chart.timeframe.value} bars are rolled up; choose a part of this one")
    return explain_bar(settings, chart.symbol, start_ns, stored, venue)


def _bars(store: BarStore, reader: BarReader, chart: ChartRequest) -> Sequence[ServedBar]:
    symbol, venue = chart.symbol, chart.venue
    if chart.session is None:
        newest = reader.tail(store, symbol, DEFAULT_BARS, venue=venue)
        return [bar for bar in newest if not bar.void]
    first, last = (
        calendars.session(venue_named(venue), day)
        for day in chart.timeframe.dates_around(chart.session)
    )
    bars: list[ServedBar] = []
    span = (first.start_ns, last.end_ns)
    for bar in reader.read(store, *span, venue=venue, symbols=[symbol]):
        if len(bars) == MAX_BARS:
            raise ConfigError(f"more than {MAX_BARS:,} bars; choose a wider resolution")
        if not bar.void:
            bars.append(bar)
    return bars


def _indicators(
    store: BarStore, chart: ChartRequest, venue: str, bars: Sequence[ServedBar]
) -> Sequence[IndicatorRow]:
    """Return the indicators of stored bars; those that are rolled up have none."""
    stored = chart.timeframe.stored
    if stored is None or not bars:
        return []
    window = (bars[0].start_ns, bars[-1].start_ns + 1)
    return list(store.read_indicators(stored, *window, venue=venue, symbols=[chart.symbol]))


def _venue_of(store: BarStore, chart: ChartRequest) -> str:
    """Return the requested venue, or the only one that has bars of the symbol."""
    if chart.venue:
        return venue_named(chart.venue).code
    served = _venues_of(store, chart.symbol)
    if len(served) == 1:
        return served[0]
    if not served:
        raise NotThereError(f"no bars of {chart.symbol}")
    raise ConfigError(f"{chart.symbol} has bars on {', '.join(served)}; choose one")


def _venues_of(store: BarStore, symbol: str) -> list[str]:
    return sorted(
        {bar.venue for resolution in Resolution for bar in store.tail(resolution, symbol, 1)}
    )


def _neighbours(chart: ChartRequest) -> tuple[date | None, date | None]:
    """Return the dates of the sessions before and after the session of the chart."""
    if chart.session is None or not chart.venue:
        return None, None
    venue = venue_named(chart.venue)
    before = calendars.last_regular(venue, venue.session_start_ns(chart.session))
    after = calendars.next_regular(venue, chart.session + timedelta(days=1))
    return (None if before is None else before.date, None if after is None else after.date)


def _changed(
    reader: BarReader, venue_code: str, symbol: str, bars: Sequence[ServedBar]
) -> dict[int, str]:
    """Return the causes of each bar that a publication changed, or a part of it, by its start."""
    if not bars:
        return {}
    venue = venue_named(venue_code)
    first, last = venue.date_of(bars[0].start_ns), venue.date_of(bars[-1].start_ns)
    last = reader.timeframe.dates_around(last)[1]
    entries = DriftLedger(reader.settings.lake).between(first, last, venue_code, symbol)
    source = reader.source(venue_code, bars[-1].start_ns)
    causes: dict[int, dict[str, None]] = {}
    for entry in entries:
        if entry.resolution is source:
            of_bar = causes.setdefault(reader.start_of(venue_code, entry.start_ns, source), {})
            of_bar.update(dict.fromkeys(cause.value for cause in entry.causes))
    return {start: ", ".join(of_bar) for start, of_bar in causes.items()}
