"""Calendars: a venue and a range of dates become sessions; the only import of exchange-calendars.

Knows opens and closes, not halts; a lunch break is not modelled, a session is one interval.
"""

from datetime import date, timedelta
from functools import lru_cache

from truetape.host.errors import ConfigError
from truetape.host.venues import venue_named
from truetape.market.sessions import Session, Venue, session_of

MAX_DAYS = 36_600
"""A century: longer ranges are a mistake in an argument."""

MAX_CLOSED_DAYS = 30
"""Longer than any market of these calendars was ever closed; bounds the search for a session."""

_Regular = tuple[int, int]


def sessions(venue: Venue, first: date, last: date) -> list[Session]:
    """Return one session for every date from `first` to `last`, both included, closed days too.

    Half days, holidays and daylight-saving changes follow the venue's calendar; a venue without one
    has the UTC day. ConfigError for an unknown calendar or a date that it does not reach.
    """
    days = (last - first).days + 1
    if not 0 < days <= MAX_DAYS:
        raise ConfigError(f"sessions from {first} to {last}: give 1 to {MAX_DAYS} days, in order")
    return [session(venue, first + timedelta(days=after)) for after in range(days)]


def session(venue: Venue, day: date) -> Session:
    """Return the session of one date; see `sessions`."""
    if venue.calendar is None:
        return session_of(venue, day, None)
    regular = _year(venue.calendar, day.year).get(day)
    found = session_of(venue, day, regular)
    if regular and not (found.start_ns <= regular[0] < regular[1] <= found.end_ns):
        raise ConfigError(
            f"venue {venue.code}: the session of {day} in {venue.calendar} leaves that date"
            f" in {venue.zone}; sessions over midnight are not supported"
        )
    return found


def parse_session(venue: str, day: str) -> Session:
    """Parse `--venue` and `--session`. Raise ConfigError if either is not valid."""
    market = venue_named(venue)
    try:
        when = date.fromisoformat(day)
    except ValueError as error:
        raise ConfigError(f"{day!r} is not a date like 2026-11-20") from error
    return session(market, when)


def next_regular(venue: Venue, day: date) -> Session | None:
    """Return the first regular session at or after a date; None when there is none in reach."""
    return _first_regular(venue, day, step=1)


def last_regular(venue: Venue, instant_ns: int) -> Session | None:
    """Return the newest regular session that had closed at an instant; None without one in reach.

    Costs one look at a cached year, however old the process: years are built when they are asked.
    """
    day = venue.date_of(instant_ns)
    found = _first_regular(venue, day, step=-1)
    if found is not None and found.close_ns is not None and found.close_ns > instant_ns:
        found = _first_regular(venue, found.date - timedelta(days=1), step=-1)
    return found


def _first_regular(venue: Venue, day: date, step: int) -> Session | None:
    reach = [day + timedelta(days=step * after) for after in range(MAX_CLOSED_DAYS)]
    candidates = (session(venue, candidate) for candidate in reach)
    return next((found for found in candidates if found.open_ns is not None), None)


@lru_cache(maxsize=256)
def _year(calendar: str, year: int) -> dict[date, _Regular]:
    """Return (open, close) in nanoseconds for the open days of a year."""
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    try:
        schedule = exchange_calendars.get_calendar(
            calendar, start=f"{year:04}-01-01", end=f"{year:04}-12-31"
        ).schedule
    except (CalendarError, ValueError) as error:
        raise ConfigError(f"calendar {calendar!r}, year {year}: {error}") from error
    times = zip(schedule.index, schedule["open"], schedule["close"], strict=True)
    return {label.date(): (opens.value, closes.value) for label, opens, closes in times}
