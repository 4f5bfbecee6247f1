"""Dates as people write them, and the dates that bars can have. Knows no calendar and no zone."""

import re
from datetime import date

from truetape.host.errors import ConfigError

FIRST_DAY = date(1678, 1, 1)
LAST_DAY = date(2261, 12, 31)
"""The first and the last session: 64 bits of nanoseconds reach from 1677-09-21 to 2262-04-11, and
a session needs its neighbours."""
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_day(text: object) -> date:
    """Parse a session's date, like 2026-11-20. Raise ConfigError as `parse_date` and `require_day`
    do.
    """
    return require_day(parse_date(text))


def parse_date(text: object) -> date:
    """Parse a date like 2026-11-20. Raise ConfigError for any other text."""
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise ConfigError(f"{shown(text)} is not a date like 2026-11-20")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a date: {error}") from error


def require_day(day: date) -> date:
    """Return the date. Raise ConfigError if its session is outside of 64-bit nanoseconds."""
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigError(f"{day} is outside of {FIRST_DAY} to {LAST_DAY}; choose another date")
    return day


def shown(value: object) -> str:
    """Return a value for a message: its repr, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


_MOST_SHOWN = 80
