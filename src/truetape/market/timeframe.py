"""Timeframes: the widths of bars that readers ask for. Five are stored, all others are rolled up.

Reads no bars and asks no calendar. A stored width is a `Resolution`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from truetape.market.resolution import INTRADAY, SECOND_NS, Resolution
from truetape.market.sessions import Session


class Origin(StrEnum):
    """Where bars narrower than a day are counted from: midnight UTC, or the session's open."""

    UTC = "utc"
    OPEN = "open"


class Fill(StrEnum):
    """What an interval of the regular session without any trade gets, as in InfluxQL.

    `NONE`: no bar. `PREVIOUS`: a bar without volume at the close of the bar before it.
    """

    NONE = "none"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A width of bars, such as 15m. `width_ns` is None for bars of whole sessions: 1d, 1w, 1M.

    `origin` has no meaning for bars of whole sessions: these start with the first open of their
    day, ISO week (from Monday) or calendar month of session dates.
    """

    value: str
    width_ns: int | None
    origin: Origin = Origin.UTC

    @property
    def stored(self) -> Resolution | None:
        """Return the stored resolution that has exactly these bars, None if none has."""
        if self.needs_sessions and self.value != Resolution.DAY.value:
            return None
        return next((stored for stored in Resolution if stored.value == self.value), None)

    @property
    def needs_sessions(self) -> bool:
        """True if only a session says where a bar starts."""
        return self.width_ns is None or self.origin is Origin.OPEN

    def source(self, sessions: Iterable[Session] = ()) -> Resolution:
        """Return the widest stored resolution whose bars add up to bars of these sessions."""
        if self.width_ns is None:
            return Resolution.DAY
        edges = {self.width_ns}
        if self.origin is Origin.OPEN:
            edges |= {edge for day in sessions for edge in (day.start_ns, day.open_ns or 0)}
        return next(
            stored
            for stored in reversed(INTRADAY)
            if all(edge % stored.width_ns == 0 for edge in edges)
        )

    def start_of(self, event_ns: int, session: Session | None = None) -> int:
        """Return the start of the bar of less than a day that has an instant.

        Counted from the open, boundaries go on before it and after the close, and the first bar
        starts no earlier than the trading day. A day without a regular session is counted from
        midnight UTC. Raise ValueError for bars of whole sessions: see `period_starts`.
        """
        if self.width_ns is None:
            raise ValueError(f"a {self.value} bar starts when its first session opens")
        if self.origin is Origin.UTC or session is None:
            return event_ns - event_ns % self.width_ns
        start = event_ns - (event_ns - (session.open_ns or 0)) % self.width_ns
        return max(start, session.start_ns)

    def ordinal(self, start_ns: int, session: Session) -> int:
        """Return the place of a bar in its session, from 0, empty intervals included."""
        if self.width_ns is None:
            return 0
        return -((self.start_of(session.start_ns, session) - start_ns) // self.width_ns)

    def dates_around(self, day: date) -> tuple[date, date]:
        """Return the first and the last date whose sessions may be in one bar with `day`."""
        if self.value == _WEEK:
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=6)
        if self.value == _MONTH:
            first = day.replace(day=1)
            return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return day, day

    def period_starts(self, sessions: Iterable[Session]) -> dict[date, int]:
        """Return the start of the bar of whole sessions by the date of each regular session.

        `sessions` are those of one venue, complete from first to last of `dates_around`.
        """
        opens: dict[date, int] = {}
        regular = [(day.date, day.open_ns) for day in sessions if day.open_ns is not None]
        for day, open_ns in sorted(regular):
            opens.setdefault(self.dates_around(day)[0], open_ns)
        return {day: opens[self.dates_around(day)[0]] for day, _ in regular}

    def regular_starts(
        self, sessions: Sequence[Session], after_ns: int, before_ns: int
    ) -> Iterator[int]:
        """Yield the start of each bar with a part of a regular session, between two instants.

        Both instants are left out. `sessions` are those of one venue, in order; for bars of whole
        sessions as in `period_starts`.
        """
        if self.width_ns is None:
            starts = sorted(set(self.period_starts(sessions).values()))
            yield from (start for start in starts if after_ns < start < before_ns)
            return
        for session in sessions:
            if session.open_ns is None or session.close_ns is None:
                continue
            start, end = self.start_of(session.open_ns, session), min(session.close_ns, before_ns)
            if start <= after_ns:
                start += ((after_ns - start) // self.width_ns + 1) * self.width_ns
            while start < end:
                yield start
                after_ns, start = start, start + self.width_ns


def timeframe_of(resolution: Resolution) -> Timeframe:
    """Return a stored resolution as a timeframe."""
    is_daily = resolution is Resolution.DAY
    return Timeframe(resolution.value, None if is_daily else resolution.width_ns)


def parse_timeframe(text: str, origin: Origin = Origin.UTC) -> Timeframe:
    """Parse a width such as 15s, 15m, 4h, 1d, 1w or 1M; 60m is 1h.

    Raise ValueError, with the next widths, for one that does not divide a day.
    """
    match = _WIDTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{_cut(text)} is no width of bars; write it like {_EXAMPLES}")
    if text in _OF_SESSIONS:
        return Timeframe(text, None, origin)
    count, unit = int(match[1]), match[2]
    if unit not in _UNITS_S:
        raise ValueError(f"bars of {text} are not offered; of whole days there are 1d, 1w and 1M")
    seconds = count * _UNITS_S[unit]
    if seconds == _DAY_S:
        raise ValueError(f"{text} is a day; write 1d, whose bars are sessions")
    if seconds > _DAY_S or _DAY_S % seconds:
        raise ValueError(f"{text} does not divide a day; {_next_widths(seconds, unit)} do")
    return Timeframe(_name(seconds), seconds * SECOND_NS, origin)


def _next_widths(seconds: int, unit: str) -> str:
    """Return the widths next to one, in whole units of it."""
    step = _UNITS_S[unit]
    widths = [width for width in range(step, _DAY_S, step) if _DAY_S % width == 0]
    below = [f"{width // step}{unit}" for width in widths if width < seconds][-1:]
    above = [f"{width // step}{unit}" for width in widths if width > seconds][:1]
    return " and ".join([*below, *(above or ["1d"])])


def _name(seconds: int) -> str:
    unit = next(unit for unit in ("h", "m", "s") if seconds % _UNITS_S[unit] == 0)
    return f"{seconds // _UNITS_S[unit]}{unit}"


def _cut(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")


_WIDTH = re.compile(r"([1-9][0-9]{0,5})([smhdwM])")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600}
_DAY_S = 86_400
_WEEK, _MONTH = "1w", "1M"
_OF_SESSIONS = (Resolution.DAY.value, _WEEK, _MONTH)
_EXAMPLES = "15s, 1m, 15m, 4h, 1d, 1w or 1M"
_MOST_SHOWN = 40
