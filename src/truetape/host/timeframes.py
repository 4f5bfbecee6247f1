"""Timeframes and amounts as people write them, and the sessions that bars of a timeframe need."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import TypeVar

from truetape.host import calendars
from truetape.host.dates import FIRST_DAY, LAST_DAY, shown
from truetape.host.errors import ConfigError
from truetape.host.venues import venue_named
from truetape.market.amount_bars import Amount, parse_amount
from truetape.market.sessions import Session
from truetape.market.timeframe import Fill, Origin, Timeframe, parse_timeframe

LAST_NS = 2**63 - 1
_Choice = TypeVar("_Choice", Origin, Fill)


def require_timeframe(text: object, origin: object = Origin.UTC) -> Timeframe:
    """Parse a width of bars such as 15m, and where it is counted from.

    Raise ConfigError with what can be written instead.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{shown(text)} is no width of bars; write it like 15m")
    try:
        return parse_timeframe(text, _chosen(Origin, origin, "origin"))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def require_amount(text: object) -> Amount:
    """Parse what ends a bar, such as trades=500. Raise ConfigError with what can be written."""
    if not isinstance(text, str):
        raise ConfigError(f"{shown(text)} is no amount; write it like trades=500")
    try:
        return parse_amount(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def require_fill(text: object) -> Fill:
    """Parse what an empty interval gets. Raise ConfigError with the choices."""
    return _chosen(Fill, text, "fill")


@lru_cache(maxsize=20_000)
def session_on(code: str, day: date) -> Session:
    """Return the session of a date. Raise ConfigError if the venue is not declared."""
    return calendars.session(venue_named(code), day)


def session_at(code: str, event_ns: int) -> Session:
    """Return the session of an instant. Raise ConfigError if the venue is not declared."""
    return session_on(code, venue_named(code).date_of(event_ns))


def sessions_for(
    timeframe: Timeframe, days: Iterable[tuple[str, date]]
) -> dict[str, list[Session]]:
    """Return by venue the sessions that bars with these days need, whole weeks and months too."""
    needed = {
        (code, date.fromordinal(number))
        for code, day in set(days)
        for number in _reach(timeframe, day, day)
    }
    sessions: dict[str, list[Session]] = {}
    for code, day in sorted(needed):
        sessions.setdefault(code, []).append(session_on(code, day))
    return sessions


def sessions_until(code: str, last_ns: int, days: int) -> list[Session]:
    """Return the sessions of a venue up to that of an instant."""
    last = venue_named(code).date_of(last_ns)
    first = max(last - timedelta(days=days - 1), FIRST_DAY)
    return [
        session_on(code, date.fromordinal(at))
        for at in range(first.toordinal(), last.toordinal() + 1)
    ]


def period_of(timeframe: Timeframe, code: str, day: date) -> tuple[Session, ...]:
    """Return the regular sessions of the day, week or month of a date, in order."""
    return _period(code, *timeframe.dates_around(day))


def starts_between(
    timeframe: Timeframe,
    code: str,
    after_ns: int,
    before_ns: int | None,
    *,
    known_until_ns: int = LAST_NS,
) -> Iterator[int]:
    """Yield the starts that bars of a venue can have between two of them, in regular sessions.

    Without the second bar, go on to the close of the session of the first one. Leave out bars that
    end after `known_until_ns`.
    """
    if before_ns is not None and before_ns - after_ns <= (timeframe.width_ns or 0):
        return
    venue = venue_named(code)
    first = venue.date_of(after_ns)
    last = first if before_ns is None else venue.date_of(before_ns)
    days = [session_on(code, date.fromordinal(at)) for at in _reach(timeframe, first, last)]
    end_ns = days[-1].end_ns if before_ns is None else before_ns
    end_ns = min(end_ns, known_until_ns - (timeframe.width_ns or 0) + 1)
    yield from timeframe.regular_starts(days, after_ns, end_ns)


def _reach(timeframe: Timeframe, first: date, last: date) -> range:
    """Return the ordinals of the dates of whole days, weeks or months that have these days."""
    begin, end = timeframe.dates_around(first)[0], timeframe.dates_around(last)[1]
    return range(max(begin, FIRST_DAY).toordinal(), min(end, LAST_DAY).toordinal() + 1)


@lru_cache(maxsize=5_000)
def _period(code: str, first: date, last: date) -> tuple[Session, ...]:
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return tuple(day for day in (session_on(code, day) for day in days) if day.open_ns is not None)


def _chosen(kind: type[_Choice], value: object, name: str) -> _Choice:
    for choice in kind:
        if value == choice:
            return choice
    raise ConfigError(f"no {name} {shown(value)}; there are {', '.join(kind)}")
