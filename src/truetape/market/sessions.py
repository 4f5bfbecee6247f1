"""Venues and their sessions: the trading day, and the regular session in it.

Calls no calendar: `truetape.host.venues` and `truetape.host.calendars` build these objects.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from truetape.market.resolution import SECOND_NS


@dataclass(frozen=True, slots=True)
class Venue:
    """A market that bars belong to. `calendar` is None if trading never stops.

    `after_hours` is how long trading goes on after the regular close, on half days too.
    """

    code: str
    name: str
    zone: str
    calendar: str | None
    after_hours: timedelta = timedelta(0)

    def date_of(self, event_ns: int) -> date:
        """Return the session date of an instant: the date on the venue's wall clock."""
        if self.zone == "UTC":
            return _EPOCH_DATE + timedelta(days=event_ns // _DAY_NS)
        return datetime.fromtimestamp(event_ns // SECOND_NS, _zone(self.zone)).date()

    def midnight_ns(self, day: date) -> int:
        """Return when `day` begins on the venue's wall clock, in epoch nanoseconds."""
        local = datetime(day.year, day.month, day.day, tzinfo=_zone(self.zone))
        return int(local.astimezone(UTC).timestamp()) * SECOND_NS


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day `[start_ns, end_ns)`, and in it the regular session `[open_ns, close_ns)`.

    `open_ns` and `close_ns` are None on a day without a regular session (weekend, holiday). Such a
    day has no daily bar.
    """

    venue: str
    date: date
    start_ns: int
    end_ns: int
    open_ns: int | None
    close_ns: int | None

    def contains(self, event_ns: int) -> bool:
        """True if an instant is in this trading day, extended hours included."""
        return self.start_ns <= event_ns < self.end_ns

    def is_regular(self, event_ns: int) -> bool:
        """True if an instant is in the regular session."""
        return (
            self.open_ns is not None
            and self.close_ns is not None
            and self.open_ns <= event_ns < self.close_ns
        )


def session_of(venue: Venue, day: date, regular: tuple[int, int] | None) -> Session:
    """Return the session of a date. `regular` is (open, close) in nanoseconds, None if closed.

    A venue without a calendar trades all day: its regular session is the whole UTC day.
    """
    start, end = venue.midnight_ns(day), venue.midnight_ns(day + timedelta(days=1))
    if venue.calendar is None:
        regular = (start, end)
    opens, closes = regular if regular else (None, None)
    return Session(venue.code, day, start, end, opens, closes)


_EPOCH_DATE = date(1970, 1, 1)
_DAY_NS = 86_400 * SECOND_NS


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
