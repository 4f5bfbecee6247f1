"""The five widths of a bar. `1s` is the base, the others are roll-ups of it."""

from enum import Enum

SECOND_NS = 1_000_000_000


class Resolution(Enum):
    """A bar's width. `DAY` is a session, not 24 hours: see `sessions`."""

    SECOND = "1s"
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def width_ns(self) -> int:
        """Return the width in nanoseconds; `DAY` is nominal, 24 hours, for retention arithmetic."""
        return _WIDTHS_S[self.value] * SECOND_NS

    def start_of(self, event_ns: int) -> int:
        """Return the start of the half-open bar that holds `event_ns`, UTC-aligned.

        Raises ValueError for `DAY`, whose bars start where the session opens.
        """
        if self is Resolution.DAY:
            raise ValueError("a 1d bar starts where its session opens; ask the session")
        return event_ns - event_ns % self.width_ns


INTRADAY = (Resolution.SECOND, Resolution.MINUTE, Resolution.FIVE_MINUTES, Resolution.HOUR)

_WIDTHS_S = {"1s": 1, "1m": 60, "5m": 300, "1h": 3_600, "1d": 86_400}
