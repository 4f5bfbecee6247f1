"""Calendars: the sessions of a venue by date. The only module that imports exchange-calendars.

Knows opens and closes but no halts. A session is one interval, without lunch breaks.
"""

import difflib
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from truetape.host.dates import FIRST_DAY, LAST_DAY, parse_day, require_day
from truetape.host.errors import ConfigError
from truetape.host.venues import venue_named
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session, Venue, session_of

MAX_DAYS = 36_600
"""A century: a longer range is a wrong argument."""

MAX_CLOSED_DAYS = 30
"""No market of these calendars was ever closed for longer; bounds the search for a session."""

_Regular = tuple[int, int]


def sessions(venue: Venue, first: date, last: date) -> list[Session]:
    """Return one session for every date from `first` to `last`, both included, closed days too.

    Half days, holidays and daylight-saving changes follow the venue's calendar; a venue without a
    calendar trades the whole session of each of its weekdays. Raise ConfigError if the calendar is
    unknown or lacks a date.
    """
    days = (last - first).days + 1
    if not 0 < days <= MAX_DAYS:
        raise ConfigError(f"sessions from {first} to {last}: give 1 to {MAX_DAYS} days, in order")
    return [session(venue, first + timedelta(days=after)) for after in range(days)]


def session(venue: Venue, day: date) -> Session:
    """Return the session of one date, as `sessions` does."""
    require_day(day)
    if venue.calendar is None:
        return session_of(venue, day, None)
    trading_day = session_of(venue, day, _year(venue.calendar, day.year).get(day))
    opens, closes = trading_day.open_ns, trading_day.close_ns
    if opens is None or closes is None:
        return trading_day
    if not trading_day.start_ns <= opens < closes <= trading_day.end_ns:
        at = [_clock(venue, instant) for instant in (opens, closes, trading_day.start_ns)]
        raise ConfigError(
            f"venue {venue.code}, {day}: the regular session of {venue.calendar}, {at[0]} to"
            f" {at[1]}, is not inside of the session, which begins {at[2]} in {venue.zone}; check"
            f" `begins` and `closes` in schemas/venues.yaml"
        )
    return trading_day


def parse_session(venue: str, day: str) -> Session:
    """Parse `--venue` and `--session`. Raise ConfigError if either is not valid."""
    return session(venue_named(venue), parse_day(day))


def next_regular(venue: Venue, day: date) -> Session | None:
    """Return the first regular session on or after a date, None if `MAX_CLOSED_DAYS` days have
    none.
    """
    return _first_regular(venue, day, step=1)


def last_regular(venue: Venue, instant_ns: int) -> Session | None:
    """Return the newest regular session that was closed at an instant, None if the last
    `MAX_CLOSED_DAYS` days have none. Years are cached when they are first needed.
    """
    day = venue.date_of(instant_ns)
    latest = _first_regular(venue, day, step=-1)
    if latest is not None and latest.close_ns is not None and latest.close_ns > instant_ns:
        latest = _first_regular(venue, latest.date - timedelta(days=1), step=-1)
    return latest


def _clock(venue: Venue, instant_ns: int) -> str:
    local = datetime.fromtimestamp(instant_ns // SECOND_NS, ZoneInfo(venue.zone))
    return f"{local:%Y-%m-%d %H:%M}"


def _first_regular(venue: Venue, day: date, step: int) -> Session | None:
    number = day.toordinal()
    reach = range(number, number + step * MAX_CLOSED_DAYS, step)
    known = range(FIRST_DAY.toordinal(), LAST_DAY.toordinal() + 1)
    candidates = (session(venue, date.fromordinal(at)) for at in reach if at in known)
    return next((day for day in candidates if day.open_ns is not None), None)


@lru_cache(maxsize=256)
def _year(calendar: str, year: int) -> dict[date, _Regular]:
    """Return (open, close) in nanoseconds for the open days of a year."""
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    names = exchange_calendars.get_calendar_names()
    if calendar not in names:
        near = difflib.get_close_matches(calendar, names) or sorted(names)[:5]
        raise ConfigError(
            f"calendar {calendar!r} of a venue in venues.yaml is no name that exchange-calendars "
            f"has; names like it: {', '.join(near)}"
        )
    try:
        schedule = exchange_calendars.get_calendar(
            calendar, start=f"{year:04}-01-01", end=f"{year:04}-12-31"
        ).schedule
    except (CalendarError, ValueError) as error:
        raise ConfigError(f"calendar {calendar!r}, year {year}: {error}") from error
    times = zip(schedule.index, schedule["open"], schedule["close"], strict=True)
    return {label.date(): (opens.value, closes.value) for label, opens, closes in times}
