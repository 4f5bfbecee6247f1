"""The five widths of a bar, where a bar starts, and which bars are rolled up from which.

Does not know sessions, although a `1d` bar starts when its session opens.
"""

from enum import Enum
from typing import Protocol, Self, TypeVar

MS_NS = 1_000_000
SECOND_NS = 1_000 * MS_NS


class _Instants(Protocol):
    """One instant in nanoseconds, or a numpy array of them."""

    def __mod__(self, width_ns: int, /) -> Self: ...

    def __sub__(self, remainder: Self, /) -> Self: ...


_AnyInstants = TypeVar("_AnyInstants", bound=_Instants)


class Resolution(Enum):
    """A bar's width. `DAY` is a session, not 24 hours: see `sessions`."""

    SECOND = "1s"
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def width_ns(self) -> int:
        """Return the width in nanoseconds. `DAY` has 24 hours here, for retention arithmetic."""
        return _WIDTHS_S[self.value] * SECOND_NS

    def start_of(self, event_ns: _AnyInstants) -> _AnyInstants:
        """Return the start of the half-open bar with `event_ns` in it, aligned to UTC.

        Accepts an array of instants too. Raise ValueError for `DAY`: daily bars start when the
        session opens.
        """
        if self is Resolution.DAY:
            raise ValueError("a 1d bar starts when its session opens; use the session's open_ns")
        return event_ns - event_ns % self.width_ns


INTRADAY = (Resolution.SECOND, Resolution.MINUTE, Resolution.FIVE_MINUTES, Resolution.HOUR)
STREAMED = (Resolution.SECOND, Resolution.MINUTE)
"""The speed layer folds trades into provisional bars of these resolutions."""
ROLLED_UP = (Resolution.FIVE_MINUTES, Resolution.HOUR)
"""The database rolls provisional bars of these resolutions up from `ROLLUP_SOURCE`."""
ROLLUP_SOURCE = Resolution.MINUTE

_WIDTHS_S = {"1s": 1, "1m": 60, "5m": 300, "1h": 3_600, "1d": 86_400}
