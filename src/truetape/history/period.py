"""From when to when: instants or trading days, as programs and people write them.

A trading day begins at midnight on the wall clock of a bar's own venue, so that one window of days
means each market's own.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from truetape.host.errors import ConfigError
from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.sessions import Venue

When = str | int | date | datetime
"""An instant (ISO 8601 with offset, epoch nanoseconds, a datetime with a zone) or a day (a date, or
text like 2026-11-20).
"""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY_NS = 86_400_000_000_000
_LAST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open; an end that is None is open. Dates are days of the venue that is asked about."""

    start: int | date
    end: int | date | None

    def of(self, venue: Venue) -> tuple[int, int]:
        """Return first instant and end for one venue, in nanoseconds."""
        return _instant(self.start, venue), _instant(self.end, venue)

    def of_any(self) -> tuple[int, int]:
        """Return a first instant and an end that hold the window of every venue."""
        start, end = (_instant(edge, None) for edge in (self.start, self.end))
        return (
            start - _DAY_NS if isinstance(self.start, date) else start,
            end + _DAY_NS if isinstance(self.end, date) else end,
        )


def window(start: When, end: When | None = None) -> Window:
    """Read a window; ConfigError for what is no instant and no day, or ends before it starts."""
    found = Window(read(start, "start"), None if end is None else read(end, "end"))
    first, last = (_instant(edge, None) for edge in (found.start, found.end))
    if last <= first:
        raise ConfigError(f"a window from {start} to {end} is empty: its end must be later")
    return found


def instant(value: When, name: str) -> int:
    """Read an instant in nanoseconds; ConfigError for a day: it lasts."""
    found = read(value, name)
    if isinstance(found, date):
        raise ConfigError(f"{name} {value} is a day; give an instant like {value}T21:00:00Z")
    return found


def read(value: When, name: str) -> int | date:
    """Read an instant in nanoseconds, or a day; ConfigError says what `name` may be."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(f"{name} {value} has no zone; say which, like {value}+00:00")
        nanoseconds = int(getattr(value, "nanosecond", 0))  # those of a pandas Timestamp
        return (value - _EPOCH) // _MICROSECOND * 1_000 + nanoseconds
    if isinstance(value, date | int):
        return value
    if _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ConfigError(f"{name} {value!r} is no date: {error}") from error
    parsed = parse(value, TimeSpec(Shape.ISO8601))
    if not isinstance(parsed, int):
        raise ConfigError(
            f"{name} {value!r}: {parsed.detail}; write it like 2026-11-20T21:00:00Z, or 2026-11-20"
        )
    return parsed


def _instant(edge: int | date | None, venue: Venue | None) -> int:
    if edge is None:
        return _LAST_NS
    if isinstance(edge, int):
        return edge
    if venue is not None:
        return venue.midnight_ns(edge)
    return (edge - _EPOCH.date()).days * _DAY_NS
