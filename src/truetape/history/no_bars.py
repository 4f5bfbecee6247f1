"""Why a chart or a table has no bars: one sentence for command line and console.

Reads the newest bars of the symbol and the calendar; changes nothing.
"""

import time
from datetime import date

from truetape.history.timeframe_bars import BarReader
from truetape.host import calendars
from truetape.host.venues import venue_named
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.serving.store import BarStore, ServedBar
from truetape.serving.table import utc

Window = tuple[int, int | None]
"""Start and end of what was asked for, in nanoseconds; without end it is open."""
MOST_CLOSED_NS = 10 * 86_400 * SECOND_NS
"""No market is closed for longer."""
SATURDAY = 5
_LAST_NS = 2**63 - 1


def why_no_bars(
    store: BarStore,
    reader: BarReader,
    symbol: str,
    venue: str | None,
    window: Window | None = None,
) -> str:
    """Return why there are no bars of a symbol, in a window or at all.

    The sentence names a closed or future session, a resolution that the symbol does not have yet,
    or a symbol that is not served; then it lists the bars there are.
    """
    newest = [bar for other in Resolution for bar in _labelled(store, other, symbol)]
    place = f" on {venue}" if venue else ""
    problem = f"no {reader.timeframe.value} bars of {symbol}{place} in that window"
    if not newest:
        return f"no bars of {symbol} on any venue {_elsewhere(reader)}"
    codes = {bar.venue for _, bar in newest}
    if window is not None and (reason := _closed(venue or _only(codes), window)):
        problem = f"no {reader.timeframe.value} bars of {symbol}: {reason}"
    elif not reader.is_stored:
        problem += f", which are rolled up from {reader.source(venue, _LAST_NS).value}"
    elif reader.timeframe.stored not in {other for other, _ in newest}:
        problem = f"no {reader.timeframe.value} bars of {symbol}{place} yet"
    listed = [f"{other.value} on {bar.venue} up to {utc(bar.start_ns)}" for other, bar in newest]
    return f"{problem}; there are {', '.join(listed)}"


def _labelled(
    store: BarStore, resolution: Resolution, symbol: str
) -> list[tuple[Resolution, ServedBar]]:
    return [(resolution, bar) for bar in store.tail(resolution, symbol, 1)]


def _only(codes: set[str]) -> str | None:
    return next(iter(codes)) if len(codes) == 1 else None


def _closed(venue: str | None, window: Window) -> str:
    """Return why no session of a window can have bars; empty if one could."""
    start_ns, end_ns = window
    if start_ns > time.time_ns():
        return "the window is in the future"
    if venue is None or end_ns is None or end_ns - start_ns > MOST_CLOSED_NS:
        return ""
    market = venue_named(venue)
    first, last = market.date_of(start_ns), market.date_of(end_ns - 1)
    days = calendars.sessions(market, first, max(first, last))
    if any(day.open_ns is not None for day in days):
        return ""
    return f"{venue} is closed on {' and '.join(_date(day.date) for day in days)}"


def _date(day: date) -> str:
    """Return a closed day with its kind."""
    return f"{day}, a {f'{day:%A}' if day.weekday() >= SATURDAY else 'holiday'}"


def _elsewhere(reader: BarReader) -> str:
    own_set = reader.settings.bucket_set
    other_set = "live" if own_set == "history" else "history"
    return (
        f"in the {own_set} buckets; check the symbol, or look in the other buckets with "
        f"TRUETAPE_BUCKET_SET={other_set}"
    )
