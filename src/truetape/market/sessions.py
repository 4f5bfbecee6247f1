"""Venues and their sessions: the trading day, and the regular session in it.

Calls no calendar: `truetape.host.venues` and `truetape.host.calendars` build these objects.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from truetape.market.resolution import SECOND_NS

MINUTE_NS = 60 * SECOND_NS
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Venue:
    """A market that bars belong to.

    `calendar` names the dates with a regular session, and its open and close. It is None if
    trading never stops, or stops on all but some `weekdays` (0 is Monday) and on `closed` dates
    (month and day, like "12-25"): the regular session is then the whole session.

    `begins_min` is when a session begins, in minutes on the wall clock from the midnight of its
    date: negative for the evening before. `closes_min` is the regular close, from the same
    midnight, where the calendar's is later. `auction_min` is the interval of the closing auction,
    in minutes after the regular close. `after_hours` is how long trading goes on after that close,
    on half days too. `us_equities`: prints follow the rules of the US tapes.
    """

    code: str
    name: str
    zone: str
    calendar: str | None
    after_hours: timedelta = timedelta(0)
    begins_min: int = 0
    closes_min: int | None = None
    auction_min: tuple[int, int] | None = None
    weekdays: tuple[int, ...] = EVERY_DAY
    closed: tuple[str, ...] = ()
    us_equities: bool = False

    def date_of(self, event_ns: int) -> date:
        """Return the session date of an instant: the last date whose session has begun."""
        if self.zone == "UTC":
            return _EPOCH_DATE + timedelta(days=(event_ns - self.begins_min * MINUTE_NS) // _DAY_NS)
        local = datetime.fromtimestamp(event_ns // SECOND_NS, _zone(self.zone)).replace(tzinfo=None)
        if not self.begins_min:
            return local.date()
        day = (local - timedelta(minutes=self.begins_min)).date()
        if event_ns < self.session_start_ns(day):  # clocks were set while it began
            return day - _DAY
        return day if event_ns < self.session_start_ns(day + _DAY) else day + _DAY

    def session_start_ns(self, day: date) -> int:
        """Return when the session of `day` begins, in epoch nanoseconds.

        It ends when the session of the next date begins, so sessions neither overlap nor leave a
        gap, over weekends and changes of the clock.
        """
        return self.wall_clock_ns(day, self.begins_min)

    def wall_clock_ns(self, day: date, minutes: int) -> int:
        """Return the instant that the wall clock shows `minutes` after the midnight of `day`."""
        local = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001 - the wall clock; its zone follows
        return int(local.replace(tzinfo=_zone(self.zone)).astimezone(UTC).timestamp()) * SECOND_NS

    def trades_on(self, day: date) -> bool:
        """True if a venue without a calendar trades on a date."""
        return day.weekday() in self.weekdays and f"{day:%m-%d}" not in self.closed


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day `[start_ns, end_ns)`, and in it the regular session `[open_ns, close_ns)`.

    `open_ns` and `close_ns` are None on a day without a regular session (weekend, holiday). Such a
    day has no daily bar. `auction_ns` is the half-open interval of the closing auction, None where
    only the conditions of a print mark an auction.
    """

    venue: str
    date: date
    start_ns: int
    end_ns: int
    open_ns: int | None
    close_ns: int | None
    auction_ns: tuple[int, int] | None = None

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

    def is_in_day(self, event_ns: int, *, auction: bool) -> bool:
        """True if a print of this session belongs to its daily bar: it is in the regular session,
        its conditions mark an `auction`, or it is in the closing auction of the venue.
        """
        if self.open_ns is None:
            return False
        start, end = self.auction_ns or (0, 0)
        return auction or self.is_regular(event_ns) or start <= event_ns < end


def session_of(venue: Venue, day: date, regular: tuple[int, int] | None) -> Session:
    """Return the session of a date. `regular` is (open, close) in nanoseconds, None if closed.

    Without a calendar the regular session is the whole session, on the days of the venue.
    """
    start, end = venue.session_start_ns(day), venue.session_start_ns(day + _DAY)
    if venue.calendar is None:
        regular = (start, end) if venue.trades_on(day) else None
    if regular is None:
        return Session(venue.code, day, start, end, None, None)
    opens, closes = regular
    if venue.closes_min is not None:
        closes = min(closes, venue.wall_clock_ns(day, venue.closes_min))
    return Session(venue.code, day, start, end, opens, closes, _auction(venue, closes))


def _auction(venue: Venue, close_ns: int) -> tuple[int, int] | None:
    if venue.auction_min is None:
        return None
    first, end = venue.auction_min
    return close_ns + first * MINUTE_NS, close_ns + end * MINUTE_NS


_EPOCH_DATE = date(1970, 1, 1)
_DAY = timedelta(days=1)
_DAY_NS = 86_400 * SECOND_NS


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
