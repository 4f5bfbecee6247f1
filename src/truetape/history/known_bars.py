"""The newest bars as they were known at an instant, for readers who name no window.

Folds sessions of the lake; reads no bar store.
"""

from datetime import timedelta

from truetape.history.timeframe_bars import BarReader
from truetape.market.sessions import Venue
from truetape.serving.store import ServedBar

DAYS_BACK = 7
"""How many days to look back for a session that has bars."""


def newest_known(reader: BarReader, venue: Venue, symbol: str, end_ns: int) -> list[ServedBar]:
    """Return the bars of the last session that has any before `end_ns`, as known at the reader's
    instant; none if the last `DAYS_BACK` days have none.
    """
    end_ns = min(end_ns, reader.known_ns + 1)
    for back in range(DAYS_BACK):
        day = venue.date_of(end_ns - 1) - timedelta(days=back)
        bars = list(reader.as_known(venue, symbol, venue.session_start_ns(day), end_ns))
        if bars:
            return bars
    return []
