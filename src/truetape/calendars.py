"""Calendars: a venue and a range of dates become sessions; the only import of exchange-calendars.

Knows opens and closes, not halts; a lunch break is not modelled, a session is one interval.
"""

from datetime import date, timedelta
from functools import lru_cache

from truetape.errors import ConfigError
from truetape.market.sessions import Session, Venue, session_of

MAX_DAYS = 36_600
"""A century: longer ranges are a mistake in an argument."""

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
