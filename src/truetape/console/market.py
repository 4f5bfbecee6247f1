"""The market page: symbols, venues and sessions to choose from, the chart, one bar's lineage.

Only reads served bars and the drift ledger.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from truetape.drift.ledger import DriftLedger
from truetape.host import calendars
from truetape.host.errors import ConfigError, NotThereError
from truetape.host.settings import Settings
from truetape.host.venues import venue_named
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.serving.chart import Extras, Oscillator, figure_json
from truetape.serving.store import BarStore, ServedBar

if TYPE_CHECKING:
    from truetape.history.lineage import Lineage

DEFAULT_BARS = 390
"""Bars of a chart without a chosen session: the minutes of a regular session."""
MAX_BARS = 25_000
"""The most bars of one chart: a session of seconds."""


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """What a chart shows. Without a session it shows the newest bars; a symbol that is served on
    one venue only needs no venue.
    """

    symbol: str
    venue: str
    resolution: Resolution
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
        tuple(resolution.value for resolution in Resolution),
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
        bars = _bars(store, replace(chart, venue=venue))
        window = (bars[0].start_ns, bars[-1].start_ns + 1) if bars else (0, 1)
        indicators = list(
            store.read_indicators(chart.resolution, *window, venue=venue, symbols=[chart.symbol])
        )
    changed = _changed(settings, venue, chart, bars)
    return figure_json(bars, Extras(indicators, changed, chart.below))


def lineage(settings: Settings, chart: ChartRequest, start_ns: int) -> "Lineage":
    """Return a bar's trades and history. Raise NotThereError if there is no such bar."""
    from truetape.history.explain import explain_bar

    with closing(open_store(settings)) as store:
        venue = _venue_of(store, chart)
    return explain_bar(settings, chart.symbol, start_ns, chart.resolution, venue)


def _bars(store: BarStore, chart: ChartRequest) -> Sequence[ServedBar]:
    resolution, symbol, venue = chart.resolution, chart.symbol, chart.venue
    if chart.session is None:
        newest = store.tail(resolution, symbol, DEFAULT_BARS, venue=venue)
        return [bar for bar in newest if not bar.void]
    session = calendars.session(venue_named(venue), chart.session)
    bars: list[ServedBar] = []
    span = (session.start_ns, session.end_ns)
    for bar in store.read(resolution, *span, venue=venue, symbols=[symbol]):
        if len(bars) == MAX_BARS:
            raise ConfigError(f"more than {MAX_BARS:,} bars; choose a wider resolution")
        if not bar.void:
            bars.append(bar)
    return bars


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
    settings: Settings, venue_code: str, chart: ChartRequest, bars: Sequence[ServedBar]
) -> dict[int, str]:
    """Return the causes of each bar that a publication changed, by its start."""
    if not bars:
        return {}
    venue = venue_named(venue_code)
    first, last = venue.date_of(bars[0].start_ns), venue.date_of(bars[-1].start_ns)
    entries = DriftLedger(settings.lake).between(first, last, venue_code, chart.symbol)
    causes: dict[int, dict[str, None]] = {}
    for entry in entries:
        if entry.resolution is chart.resolution:
            of_bar = causes.setdefault(entry.start_ns, {})
            of_bar.update(dict.fromkeys(cause.value for cause in entry.causes))
    return {start: ", ".join(of_bar) for start, of_bar in causes.items()}
