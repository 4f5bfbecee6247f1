"""A period from programs or people: its edges are instants or trading days.

Reads no calendar. A trading day begins when the session of that date begins at a bar's own venue,
so one period of days means the days of each market.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from numbers import Integral

from truetape.host.dates import parse_day, require_day, shown
from truetape.host.errors import ConfigError
from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.sessions import Venue

When = str | int | date | datetime
"""An instant (ISO 8601 with offset, epoch nanoseconds, a datetime with a zone) or a day (a date, or
text such as 2026-11-20).
"""

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY_NS = 86_400_000_000_000
_FARTHEST_NS = 2 * _DAY_NS
"""No session begins farther from its date in UTC: a day before it by the venue's clock, at most."""
_INSTANTS = range(-(2**63), 2**63)
_LAST_NS = _INSTANTS[-1]


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open period; without an end if `end` is None. A date is a day of each bar's venue."""

    start: int | date
    end: int | date | None

    def of(self, venue: Venue) -> tuple[int, int]:
        """Return start and end for one venue, in nanoseconds."""
        return _instant(self.start, venue), _instant(self.end, venue)

    def of_any(self) -> tuple[int, int]:
        """Return a start and an end that include the period of every venue."""
        start, end = (_instant(edge, None) for edge in (self.start, self.end))
        return (
            start - _FARTHEST_NS if isinstance(self.start, date) else start,
            end + _FARTHEST_NS if isinstance(self.end, date) else end,
        )


def parse_period(start: When, end: When | None = None) -> Period:
    """Parse a period. Raise ConfigError if an edge is neither instant nor day, or it is empty."""
    period = Period(parse_edge(start, "start"), None if end is None else parse_edge(end, "end"))
    first, last = (_instant(edge, None) for edge in (period.start, period.end))
    if last <= first:
        raise ConfigError(f"the period from {start} to {end} is empty: its end must be later")
    return period


def parse_instant(value: When, name: str) -> int:
    """Parse an instant in nanoseconds. Raise ConfigError for a day, which is no instant."""
    edge = parse_edge(value, name)
    if isinstance(edge, date):
        raise ConfigError(f"{name} {value} is a day; give an instant like {value}T21:00:00Z")
    return edge


def parse_edge(value: When, name: str) -> int | date:
    """Parse an instant in nanoseconds, or a day. Raise ConfigError for anything else, and for what
    64 bits of nanoseconds do not reach.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(f"{name} {value} has no zone; add one, like {value}+00:00")
        nanoseconds = int(getattr(value, "nanosecond", 0))  # those of a pandas Timestamp
        return _require_instant((value - _EPOCH) // _MICROSECOND * 1_000 + nanoseconds, name)
    if isinstance(value, date):
        return require_day(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return _require_instant(int(value), name)
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}; give an instant or a day, like 2026-11-20")
    if _DAY.fullmatch(value):
        return parse_day(value)
    parsed = parse(value, TimeSpec(Shape.ISO8601))
    if not isinstance(parsed, int):
        raise ConfigError(
            f"{name} {shown(value)}: {parsed.detail}; "
            "write it like 2026-11-20T21:00:00Z, or 2026-11-20"
        )
    return parsed


def _require_instant(instant_ns: int, name: str) -> int:
    if instant_ns not in _INSTANTS:
        raise ConfigError(
            f"{name} {shown(instant_ns)} is outside of 64-bit nanoseconds, the years 1677 to 2262"
        )
    return instant_ns


def _instant(edge: int | date | None, venue: Venue | None) -> int:
    if edge is None:
        return _LAST_NS
    if isinstance(edge, int):
        return edge
    if venue is not None:
        return venue.session_start_ns(edge)
    return (edge - _EPOCH.date()).days * _DAY_NS
