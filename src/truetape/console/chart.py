"""What a candle chart shows: bars, the empty intervals between them, indicators, changed bars.

Reads served bars and the drift ledger; draws nothing. `static/chart.js` draws what `as_json` says.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from truetape.console.chart_marks import Mark, marks_of
from truetape.console.indicators import ChartIndicators, indicators_of
from truetape.history.known_bars import newest_known
from truetape.history.no_bars import why_no_bars
from truetape.history.served_symbols import venues_of
from truetape.history.timeframe_bars import BarReader
from truetape.host import calendars
from truetape.host.errors import ConfigError, NotThereError
from truetape.host.settings import Settings
from truetape.host.timeframes import starts_between
from truetape.host.venues import venue_named
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue
from truetape.market.timeframe import Timeframe
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, ServedBar
from truetape.serving.table import utc

MAX_BARS = 2_000
"""The most bars of one answer; the page loads older ones as the reader drags."""
MAX_EMPTY = 600
"""The most empty intervals drawn between two bars; a longer hole is drawn at this width."""
MIN_DECIMALS, MAX_DECIMALS = 2, 8
_LAST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """What a chart shows. Without a session it shows the newest bars; a symbol that is served on
    one venue only needs no venue.

    `from_ns` asks for the bars from an instant on, `before_ns` for the last ones before it.
    `known_ns` asks for bars as they were known then, 0 for those that are served.
    """

    symbol: str
    venue: str
    timeframe: Timeframe
    session: date | None
    known_ns: int = 0
    from_ns: int | None = None
    before_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of one answer in order, and what is drawn with them.

    `empty` are the starts of intervals inside a session that have no bar. `why` is empty if there
    are bars. `before` and `after` are the neighbouring sessions, None if there is none yet.
    """

    symbol: str
    venue: Venue
    timeframe: Timeframe
    bars: Sequence[ServedBar]
    why: str = ""
    empty: Sequence[int] = ()
    indicators: ChartIndicators = field(default_factory=ChartIndicators)
    marks: Mapping[int, Mark] = field(default_factory=dict)
    before: date | None = None
    after: date | None = None


def read_chart(settings: Settings, request: ChartRequest) -> Chart:
    """Read a chart. Raise NotThereError if no bar of the symbol is served, ConfigError if several
    venues serve it and none is named.
    """
    reader = BarReader(settings, request.timeframe, known_ns=request.known_ns)
    with closing(open_store(settings)) as store:
        venue = venue_of(store, reader, request)
        bars = [bar for bar in _bars(store, reader, venue, request) if not bar.void]
        if not bars:
            why = _why(store, reader, venue, request)
            around = _neighbours(venue, request.session, None)
            return Chart(request.symbol, venue, request.timeframe, [], why, (), *_NOTHING, *around)
        indicators = indicators_of(store, request.timeframe, bars, is_past=bool(request.known_ns))
    marks = {} if request.known_ns else marks_of(reader, venue, request.symbol, bars)
    return Chart(
        request.symbol,
        venue,
        request.timeframe,
        bars,
        "",
        _empty(request.timeframe, venue.code, bars),
        indicators,
        marks,
        *_neighbours(venue, request.session, bars[-1].start_ns),
    )


_NOTHING: tuple[ChartIndicators, Mapping[int, Mark]] = (ChartIndicators(), {})


def venue_of(store: BarStore, reader: BarReader, request: ChartRequest) -> Venue:
    """Return the requested venue, or the only one that has bars of the symbol."""
    served = venues_of(store, request.symbol)
    if not served:
        raise NotThereError(why_no_bars(store, reader, request.symbol, request.venue or None))
    if request.venue:
        return venue_named(request.venue)
    if len(served) > 1:
        raise ConfigError(f"{request.symbol} has bars on {', '.join(served)}; choose one")
    return venue_named(served[0])


def as_json(chart: Chart) -> str:
    """Return a chart for `chart.js`. Starts are texts of nanoseconds: JavaScript's numbers would
    round them; a bar is a list in the order of `BAR_FIELDS`.
    """
    width_ns = chart.timeframe.width_ns
    content: dict[str, Any] = {
        "symbol": chart.symbol,
        "venue": chart.venue.code,
        "venueName": chart.venue.name,
        "zone": chart.venue.zone,
        "resolution": chart.timeframe.value,
        "seconds": 0 if width_ns is None else width_ns // SECOND_NS,
        "hasPages": chart.timeframe.stored is not None,
        "decimals": decimals(chart.bars),
        "why": chart.why,
        "bars": [_row(bar) for bar in chart.bars],
        "empty": [start // SECOND_NS for start in chart.empty],
        "indicators": chart.indicators.lines,
        "missing": chart.indicators.missing,
        "changed": {str(start): mark.as_dict() for start, mark in chart.marks.items()},
        "before": chart.before and str(chart.before),
        "after": chart.after and str(chart.after),
    }
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


BAR_FIELDS = ("start", "open", "high", "low", "close", "volume", "vwap", "trades", "rev", "final")
"""The values of a bar in `as_json`, in their order."""


def _row(bar: ServedBar) -> list[object]:
    prices = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap or None]
    return [str(bar.start_ns), *prices, bar.trades, bar.rev, int(bar.final)]


def decimals(bars: Iterable[ServedBar]) -> int:
    """Return how many decimals the prices of bars have, at least 2 and at most 8."""
    most = MIN_DECIMALS
    for bar in bars:
        for price in (bar.open, bar.high, bar.low, bar.close):
            digits = f"{price:.{MAX_DECIMALS}f}".rstrip("0").partition(".")[2]
            most = max(most, len(digits))
    return most


def _bars(
    store: BarStore, reader: BarReader, venue: Venue, request: ChartRequest
) -> Sequence[ServedBar]:
    start_ns, end_ns = _window(venue, request)
    if request.before_ns is not None:
        start_ns, end_ns = 0, min(end_ns, request.before_ns)
    if request.known_ns:
        end_ns = min(end_ns, request.known_ns + 1)
        if request.session is None or request.before_ns is not None:
            return newest_known(reader, venue, request.symbol, end_ns)[-MAX_BARS:]
        return list(reader.as_known(venue, request.symbol, start_ns, end_ns))[-MAX_BARS:]
    if request.from_ns is not None:
        window = (max(start_ns, request.from_ns), end_ns)
        read = reader.read(store, *window, venue=venue.code, symbols=[request.symbol])
        return [bar for bar, _ in zip(read, range(MAX_BARS), strict=False)]
    newest = reader.tail(store, request.symbol, MAX_BARS, venue=venue.code, end_ns=end_ns)
    return [bar for bar in newest if bar.start_ns >= start_ns]


def _window(venue: Venue, request: ChartRequest) -> tuple[int, int]:
    """Return the window of the requested session, or of all time."""
    if request.session is None:
        return 0, _LAST_NS
    first, last = (
        calendars.session(venue, day) for day in request.timeframe.dates_around(request.session)
    )
    return first.start_ns, last.end_ns


def _why(store: BarStore, reader: BarReader, venue: Venue, request: ChartRequest) -> str:
    if request.before_ns is not None:
        return "there are no older bars"
    window = None if request.session is None else _window(venue, request)
    if request.known_ns:
        return f"no bars of {request.symbol} were known at {utc(request.known_ns)}"
    return why_no_bars(store, reader, request.symbol, venue.code, window)


def _empty(timeframe: Timeframe, venue: str, bars: Sequence[ServedBar]) -> list[int]:
    """Return the starts of intervals of the regular session between bars that have none."""
    empty: list[int] = []
    for before, after in pairwise(bars):
        starts = starts_between(timeframe, venue, before.start_ns, after.start_ns)
        empty += [start for start, _ in zip(starts, range(MAX_EMPTY), strict=False)]
    return empty


def _neighbours(
    venue: Venue, session: date | None, last_ns: int | None
) -> tuple[date | None, date | None]:
    """Return the dates of the sessions before and after that of the chart, or after the last bar if
    it has none; no session of the future.
    """
    if session is None:
        if last_ns is None:
            return None, None
        session = venue.date_of(last_ns)
    before = calendars.last_regular(venue, venue.session_start_ns(session))
    after = calendars.next_regular(venue, session + timedelta(days=1))
    if after is not None and after.start_ns > time.time_ns():
        after = None
    return (None if before is None else before.date, None if after is None else after.date)
