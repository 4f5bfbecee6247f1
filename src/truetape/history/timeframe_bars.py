"""Bars of any timeframe for readers: stored bars as they are, all others rolled up from them.

Computes from served floats, so a rolled-up number is as exact as those; `truetape bars` is exact.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import groupby
from math import fsum
from typing import Any

from truetape.history.as_of import AsOfRequest, bars_as_of
from truetape.history.period import Period
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.timeframes import period_of, session_at, sessions_until, starts_between
from truetape.host.venues import venue_named, venues
from truetape.lake.publications import published_sessions
from truetape.market.filling import filled
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.timeframe import Fill, Timeframe
from truetape.serving.store import BAR_NUMBERS, BarStore, ServedBar

MAX_PARTS = 3_000_000
"""Most stored bars that the newest bars of a timeframe are rolled up from: all are in memory."""
CHECKED_DAYS = 400
"""How far back sessions are asked when they open, to choose what to roll up from."""
_DAY_NS = 86_400 * SECOND_NS
_DAYS = {"1w": 7, "1M": 31}
_LAST_NS = 2**63 - 1


@dataclass(frozen=True)
class BarReader:
    """Reads bars of one timeframe as they are known at `known_ns`."""

    settings: Settings
    timeframe: Timeframe
    fill: Fill = Fill.NONE
    known_ns: int = 0

    @property
    def is_stored(self) -> bool:
        """True if the bars are read as they are stored."""
        return self.timeframe.stored is not None

    def source(self, venue: str | None, last_ns: int) -> Resolution:
        """Return the stored resolution that is read for bars of a venue (None: of any)."""
        if self.timeframe.stored is not None:
            return self.timeframe.stored
        if not self.timeframe.needs_sessions or self.timeframe.width_ns is None:
            return self.timeframe.source()
        codes = [venue] if venue else _one_a_calendar()
        last_ns = min(last_ns, time.time_ns())
        return self.timeframe.source(
            day for code in codes for day in sessions_until(code, last_ns, CHECKED_DAYS)
        )

    def read(
        self,
        store: BarStore,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> Iterator[ServedBar]:
        """Yield the bars that start in `[start_ns, end_ns)`, by symbol, venue and start."""
        source = self.source(venue, end_ns)
        stop = self.reach(end_ns)
        parts = store.read(source, start_ns, stop, venue=venue, symbols=symbols)
        yield from self.made_of(parts, source, start_ns, end_ns)

    def read_period(
        self,
        store: BarStore,
        period: Period,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> Iterator[ServedBar]:
        """Yield the bars that start in a period, by symbol, venue and start. Its days are those of
        each bar's venue.
        """
        markets = venues().values() if venue is None else [venue_named(venue)]
        edges = {market.code: period.of(market) for market in markets}
        start, end = period.of_any() if venue is None else edges[venue]
        for bar in self.read(store, start, end, venue=venue, symbols=symbols):
            first, last = edges.get(bar.venue, (start, end))
            if first <= bar.start_ns < last:
                yield bar

    def reach(self, end_ns: int) -> int:
        """Return where the parts of bars that start before an instant end."""
        if self.is_stored:
            return end_ns
        width_ns = self.timeframe.width_ns or (_DAYS[self.timeframe.value] + 1) * _DAY_NS
        return min(end_ns + width_ns, _LAST_NS)

    def start_of(self, venue: str, start_ns: int, source: Resolution) -> int:
        """Return the start of the bar that a stored bar of `source` is a part of."""
        return start_ns if self.is_stored else _Starts(self.timeframe, source).of(venue, start_ns)

    def as_known(
        self, venue: Venue, symbol: str, start_ns: int, end_ns: int
    ) -> Iterator[ServedBar]:
        """Yield a symbol's bars that start in `[start_ns, end_ns)`, from what was received by
        `known_ns`.
        """
        source = self.source(venue.code, end_ns)
        stop = min(self.reach(end_ns), self.known_ns + 1)
        request = AsOfRequest(venue, symbol, source, start_ns, stop)
        parts = bars_as_of(self.settings, request, self.known_ns)
        yield from self.made_of(parts, source, start_ns, end_ns)

    def made_of(
        self, parts: Iterable[ServedBar], source: Resolution, start_ns: int, end_ns: int
    ) -> Iterator[ServedBar]:
        """Yield the bars made of stored ones that start in `[start_ns, end_ns)`."""
        bars = self._rolled_up(parts, source)
        inside = (bar for bar in bars if start_ns <= bar.start_ns < end_ns)
        yield from self._filled(inside, end_ns)

    def tail(
        self,
        store: BarStore,
        symbol: str,
        count: int,
        *,
        venue: str | None = None,
        end_ns: int | None = None,
    ) -> list[ServedBar]:
        """Return a symbol's last `count` bars on each venue, ordered by venue and start."""
        end = _LAST_NS if end_ns is None else end_ns
        source = self.source(venue, end)
        most = count if self.is_stored else (count + 2) * self._most_parts(source)
        if most > MAX_PARTS:
            raise ConfigError(
                f"{count:,} bars of {self.timeframe.value} are made of up to {most:,} bars of "
                f"{source.value}; read a window with --from and --to, or fewer bars"
            )
        parts = store.tail(source, symbol, most, venue=venue, end_ns=self.reach(end))
        made: list[ServedBar] = []
        for _, rows in groupby(parts, key=lambda bar: bar.venue):
            of_venue = list(rows)
            bars = list(self.made_of(of_venue, source, -_LAST_NS, end))
            is_cut = not self.is_stored and len(of_venue) == most
            made += bars[1:][-count:] if is_cut else bars[-count:]
        return made

    def _most_parts(self, source: Resolution) -> int:
        if self.timeframe.width_ns is None:
            return _DAYS[self.timeframe.value]
        return self.timeframe.width_ns // source.width_ns

    def _rolled_up(self, parts: Iterable[ServedBar], source: Resolution) -> Iterator[ServedBar]:
        if self.is_stored:
            yield from parts
            return
        starts = _Starts(self.timeframe, source)
        by_bar = groupby(
            parts, key=lambda bar: (bar.symbol, bar.venue, starts.of(bar.venue, bar.start_ns))
        )
        for (_, venue, start_ns), rows in by_bar:
            own = list(rows)
            session = session_at(venue, own[0].start_ns)
            seq = self.timeframe.ordinal(start_ns, session)
            yield roll_up(own, start_ns, seq, is_final=self._is_final(own, session))

    def _is_final(self, parts: Sequence[ServedBar], session: Session) -> bool:
        """True if all parts are final, and all sessions of a week or month were published."""
        if not all(part.final for part in parts):
            return False
        return self.timeframe.width_ns is not None or self._is_published(session)

    def _is_published(self, session: Session) -> bool:
        """True if all sessions of a bar with this session were published."""
        days = period_of(self.timeframe, session.venue, session.date)
        return all((day.venue, day.date) in self._published for day in days)

    @cached_property
    def _published(self) -> frozenset[tuple[str, date]]:
        return published_sessions(self.settings.lake, self.known_ns or time.time_ns())

    def _filled(self, bars: Iterable[ServedBar], end_ns: int) -> Iterator[ServedBar]:
        if self.fill is Fill.NONE:
            yield from bars
            return
        known_ns = self.known_ns or time.time_ns()

        def starts(venue: str, after_ns: int, before_ns: int | None) -> Iterator[int]:
            between = starts_between(
                self.timeframe, venue, after_ns, before_ns, known_until_ns=known_ns
            )
            return (start for start in between if start < end_ns)

        yield from filled((bar for bar in bars if not bar.void), starts, self._empty)

    def _empty(self, before: ServedBar, start_ns: int, after: ServedBar | None) -> ServedBar:
        """Return the bar of an empty interval; it is final if its session is."""
        session, close = session_at(before.venue, start_ns), before.close
        near = [bar for bar in (before, after) if bar and session.contains(bar.start_ns)]
        return replace(
            before, start_ns=start_ns, open=close, high=close, low=close, volume=0.0, vwap=0.0,
            trades=0, rev=0, seq=self.timeframe.ordinal(start_ns, session), layer="fill",
            final=any(bar.final for bar in near) or self._is_published(session),
        )  # fmt: skip


def roll_up(parts: Sequence[ServedBar], start_ns: int, seq: int, *, is_final: bool) -> ServedBar:
    """Return one bar made of narrower ones of a symbol and venue, in order.

    Its rev is the highest of theirs, its layer `speed` if one of them is from there. The VWAP is
    that of the parts, weighted by their volumes: exact to the float if each print of a part that
    counts for volume counts for high and low too. A bar of void parts only is void.
    """
    traded = [part for part in parts if not part.void]
    return replace(
        parts[0],
        start_ns=start_ns,
        **(_values(traded) if traded else _NO_VALUES),
        rev=max(part.rev for part in parts),
        seq=seq,
        layer="speed" if any(part.layer == "speed" for part in parts) else "batch",
        final=is_final,
        void=not traded,
    )


_NO_VALUES: dict[str, Any] = {**dict.fromkeys(BAR_NUMBERS, 0.0), "trades": 0}


def _values(traded: Sequence[ServedBar]) -> dict[str, Any]:
    priced = [part for part in traded if part.vwap and part.volume]
    weight = fsum(part.volume for part in priced)
    return {
        "open": traded[0].open,
        "high": max(part.high for part in traded),
        "low": min(part.low for part in traded),
        "close": traded[-1].close,
        "volume": fsum(part.volume for part in traded),
        "vwap": fsum(part.vwap * part.volume for part in priced) / weight if weight else 0.0,
        "trades": sum(part.trades for part in traded),
    }


class _Starts:
    """Where the bar of a stored bar starts. Stored bars come by venue and start."""

    def __init__(self, timeframe: Timeframe, source: Resolution) -> None:
        self._timeframe = timeframe
        self._source = source
        self._session: Session | None = None

    def of(self, venue: str, start_ns: int) -> int:
        if not self._timeframe.needs_sessions:
            return self._timeframe.start_of(start_ns)
        if self._timeframe.width_ns is None:
            day = session_at(venue, start_ns).date
            days = period_of(self._timeframe, venue, day)
            return (days[0].open_ns if days else None) or start_ns
        return self._timeframe.start_of(start_ns, self._session_of(venue, start_ns))

    def _session_of(self, venue: str, start_ns: int) -> Session:
        known = self._session
        if known is None or known.venue != venue or not known.contains(start_ns):
            known = self._session = session_at(venue, start_ns)
            if self._timeframe.source([known]).width_ns < self._source.width_ns:
                raise ConfigError(
                    f"{venue} opened off the grid of {self._source.value} on {known.date}; "
                    f"read days after it, or {self._timeframe.value} bars by UTC"
                )
        return known


def _one_a_calendar() -> list[str]:
    """Return a venue of each kind of session."""
    kinds = {
        (venue.calendar, venue.zone, venue.begins_min): code for code, venue in venues().items()
    }
    return list(kinds.values())
