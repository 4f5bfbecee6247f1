"""The market page: the symbols, venues and widths to choose from, and one bar's lineage.

Reads served bars; `console.chart` reads what the chart shows.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from truetape.console.chart import ChartRequest, venue_of
from truetape.console.indicators import INDICATORS, Indicator
from truetape.history.served_symbols import served_symbols, venues_of
from truetape.history.timeframe_bars import BarReader
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.words import spelled
from truetape.serving.backends import open_store

if TYPE_CHECKING:
    from truetape.history.lineage import Lineage

OFFERED = ("1s", "15s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M")
"""The widths that have a button; an address may name any other."""
MAX_SYMBOLS = 2_000
"""The most symbols in the list of the page; any other can be typed."""


@dataclass(frozen=True, slots=True)
class MarketPage:
    """The market page: what its chart shows first, and what can be chosen in its place."""

    chart: ChartRequest
    symbols: tuple[str, ...]
    omitted: int
    """The number of symbols that are not listed."""
    resolutions: tuple[str, ...]
    venues: tuple[str, ...]
    indicators: tuple[Indicator, ...] = INDICATORS


def page(settings: Settings, chart: ChartRequest) -> MarketPage:
    """Return the page of a chart. A request without a symbol gets the first symbol of the store,
    one that is served in another case only gets that.
    """
    with closing(open_store(settings)) as store:
        symbols = served_symbols(store)
        chart = replace(chart, symbol=_symbol(chart.symbol, symbols))
        served = venues_of(store, chart.symbol) if chart.symbol else []
    if not chart.venue and len(served) == 1:
        chart = replace(chart, venue=served[0])
    return MarketPage(
        chart,
        tuple(symbols[:MAX_SYMBOLS]),
        max(0, len(symbols) - MAX_SYMBOLS),
        tuple(dict.fromkeys((*OFFERED, chart.timeframe.value))),
        tuple(served),
    )


def lineage(settings: Settings, chart: ChartRequest, start_ns: int) -> "Lineage":
    """Return a bar's trades and history. Raise NotThereError if there is no such bar."""
    from truetape.history.explain import explain_bar

    stored = chart.timeframe.stored
    if stored is None:
        raise ConfigError(f"{chart.timeframe.value} bars are rolled up; choose a part of this one")
    with closing(open_store(settings)) as store:
        venue = venue_of(store, BarReader(settings, chart.timeframe), chart)
    return explain_bar(settings, chart.symbol, start_ns, stored, venue.code)


def _symbol(text: str, symbols: list[str]) -> str:
    """Return the symbol that was meant; an unknown one stays, and its chart says so."""
    if not text:
        return symbols[0] if symbols else ""
    return spelled(text, symbols)
