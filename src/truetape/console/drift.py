"""Drift for the console: changed bars by session, symbol and cause, down to single trades.

Only reads the drift ledger; does not attribute causes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from truetape.drift.attribution import Cause
from truetape.drift.chart import stacks, svg
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.drift.table import CauseLine, lines_of
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venue_named, venues
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session

MAX_SESSIONS = 20
"""The most sessions in the list, newest first."""
MAX_LINES = 300
"""The most lines on a page; a session can have thousands."""


@dataclass(frozen=True, slots=True)
class DriftCounts:
    """The number of changed bars, in total and by cause, and the change in volume."""

    label: str
    session: date
    venue: str
    bars: int
    counts: tuple[int, ...]
    volume: Decimal


@dataclass(frozen=True, slots=True)
class DriftTotals:
    """A table of counts. `causes` are the headings of the count columns."""

    causes: tuple[Cause, ...]
    rows: tuple[DriftCounts, ...]


@dataclass(frozen=True, slots=True)
class SessionDrift:
    """The drift of one session: totals by symbol, and the lines of the chosen symbol and cause."""

    session: Session
    symbol: str
    cause: Cause | None
    totals: DriftTotals
    lines: tuple[CauseLine, ...]
    omitted: int
    """The number of lines that are not shown."""
    chart: str
    """The chart of the chosen symbol and cause, as SVG."""


def sessions(settings: Settings) -> DriftTotals:
    """Return the newest sessions that have drift."""
    ledger = DriftLedger(settings.lake)
    newest_first = [(day, venue) for day, venue in ledger.sessions()[::-1] if venue in venues()]
    groups = [
        (f"{venue} {day}", day, venue, ledger.of_session(session(venue, day)))
        for day, venue in newest_first[:MAX_SESSIONS]
    ]
    return _totals(groups)


def of_session(
    settings: Settings, session: Session, symbol: str, cause: Cause | None
) -> SessionDrift:
    """Return the drift of one session by symbol. Its lines can be limited to a symbol or cause."""
    entries = entries_of(settings, session)
    names = sorted({entry.symbol for entry in entries})
    totals = _totals(
        (name, session.date, session.venue, [entry for entry in entries if entry.symbol == name])
        for name in names
    )
    chosen = [entry for entry in entries if symbol in ("", entry.symbol)]
    lines = lines_of(chosen, cause)
    return SessionDrift(
        session,
        symbol,
        cause,
        totals,
        tuple(lines[:MAX_LINES]),
        max(0, len(lines) - MAX_LINES),
        svg(stacks(chosen, cause)),
    )


def entries_of(settings: Settings, session: Session) -> list[BarDrift]:
    """Return every bar that publications of a session have changed."""
    return DriftLedger(settings.lake).of_session(session)


def session(venue: str, day: date) -> Session:
    """Return a session. Raise ConfigError if there is no such venue."""
    return calendars.session(venue_named(venue), day)


def _totals(groups: Iterable[tuple[str, date, str, Sequence[BarDrift]]]) -> DriftTotals:
    counted = [
        (label, day, venue, entries, Counter(cause for entry in entries for cause in entry.causes))
        for label, day, venue, entries in groups
    ]
    causes = tuple(cause for cause in Cause if any(counts[cause] for *_, counts in counted))
    return DriftTotals(
        causes,
        tuple(
            DriftCounts(
                label, day, venue, len(entries), tuple(counts[cause] for cause in causes),
                _volume(entries),
            )
            for label, day, venue, entries, counts in counted
        ),
    )  # fmt: skip


def _volume(entries: Iterable[BarDrift]) -> Decimal:
    """Add up the volume of one-minute bars only: each resolution counts the same trades again."""
    return sum(
        (
            drift.delta
            for entry in entries
            if entry.resolution is Resolution.MINUTE
            for drift in entry.fields
            if drift.field == "volume"
        ),
        Decimal(0),
    )
