"""Bars of one symbol for the market page: what there is to choose, the chart, one bar's lineage."""

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
"""Bars of a chart where no session is asked for: a regular session of minutes."""
MAX_BARS = 25_000
"""Most bars of one chart: a session of seconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a chart shows. No session means the newest bars; no venue means the only one."""

    symbol: str
    venue: str
    resolution: Resolution
    session: date | None
    below: Oscillator = Oscillator.NONE


@dataclass(frozen=True, slots=True)
class View:
    """The market page: what is chosen, and what may be chosen."""

    asked: Asked
    symbols: tuple[str, ...]
    resolutions: tuple[str, ...]
    venues: tuple[str, ...]
    before: date | None
    after: date | None


def view(settings: Settings, asked: Asked) -> View:
    """Return what may be chosen; without a symbol the first that there is is chosen."""
    with closing(open_store(settings)) as store:
        symbols = symbols_of(store)
        if not asked.symbol and symbols:
            asked = replace(asked, symbol=symbols[0])
        served = _venues_of(store, asked) if asked.symbol else []
    if not asked.venue and len(served) == 1:
        asked = replace(asked, venue=served[0])
    before, after = _neighbours(asked)
    return View(
        asked,
        tuple(symbols),
        tuple(one.value for one in Resolution),
        tuple(served),
        before,
        after,
    )


def symbols_of(store: BarStore) -> list[str]:
    """Return the symbols that have bars of a minute or a day."""
    return sorted({*store.symbols(Resolution.MINUTE), *store.symbols(Resolution.DAY)})


def chart(settings: Settings, asked: Asked) -> str:
    """Return the chart as JSON for plotly: candles, volume, indicators, marks of changed bars."""
    with closing(open_store(settings)) as store:
        market = _one_venue(store, asked)
        bars = _bars(store, replace(asked, venue=market))
        window = (bars[0].start_ns, bars[-1].start_ns + 1) if bars else (0, 1)
        indicators = list(
            store.read_indicators(asked.resolution, *window, venue=market, symbols=[asked.symbol])
        )
    changed = _changed(settings, market, asked, bars)
    return figure_json(bars, Extras(indicators, changed, asked.below))


def lineage(settings: Settings, asked: Asked, start_ns: int) -> "Lineage":
    """Return which trades made a bar, and its history; NotThereError where there is none such."""
    from truetape.history.explain import explain_bar

    with closing(open_store(settings)) as store:
        market = _one_venue(store, asked)
    return explain_bar(settings, asked.symbol, start_ns, asked.resolution, market)


def _bars(store: BarStore, asked: Asked) -> Sequence[ServedBar]:
    if asked.session is None:
        return [
            bar
            for bar in store.tail(asked.resolution, asked.symbol, DEFAULT_BARS, venue=asked.venue)
            if not bar.void
        ]
    session = calendars.session(venue_named(asked.venue), asked.session)
    found: list[ServedBar] = []
    for bar in store.read(
        asked.resolution,
        session.start_ns,
        session.end_ns,
        venue=asked.venue,
        symbols=[asked.symbol],
    ):
        if len(found) == MAX_BARS:
            raise ConfigError(f"more than {MAX_BARS:,} bars; choose a wider resolution")
        if not bar.void:
            found.append(bar)
    return found


def _one_venue(store: BarStore, asked: Asked) -> str:
    if asked.venue:
        return venue_named(asked.venue).code
    served = _venues_of(store, asked)
    if len(served) == 1:
        return served[0]
    if not served:
        raise NotThereError(f"no bars of {asked.symbol}")
    raise ConfigError(f"{asked.symbol} has bars on {', '.join(served)}; choose one")


def _venues_of(store: BarStore, asked: Asked) -> list[str]:
    return sorted({bar.venue for each in Resolution for bar in store.tail(each, asked.symbol, 1)})


def _neighbours(asked: Asked) -> tuple[date | None, date | None]:
    """The sessions before and after the one that is shown."""
    if asked.session is None or not asked.venue:
        return None, None
    known = venue_named(asked.venue)
    day = timedelta(days=1)
    before = calendars.last_regular(known, known.midnight_ns(asked.session))
    after = calendars.next_regular(known, asked.session + day)
    return (None if before is None else before.date, None if after is None else after.date)


def _changed(
    settings: Settings, venue: str, asked: Asked, bars: Sequence[ServedBar]
) -> dict[int, str]:
    """The causes, by start, of bars that became final otherwise than readers were told before."""
    if not bars:
        return {}
    known = venue_named(venue)
    first, last = known.date_of(bars[0].start_ns), known.date_of(bars[-1].start_ns)
    entries = DriftLedger(settings.lake).between(first, last, venue, asked.symbol)
    causes: dict[int, dict[str, None]] = {}
    for entry in entries:
        if entry.resolution is asked.resolution:
            told = causes.setdefault(entry.start_ns, {})
            told.update(dict.fromkeys(cause.value for cause in entry.causes))
    return {start: ", ".join(told) for start, told in causes.items()}
