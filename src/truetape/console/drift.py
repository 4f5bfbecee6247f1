"""What publications changed, from a total down to the trades: sessions, symbols, causes, bars."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from truetape.drift.attribution import Cause
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.drift.table import CauseLine, lines_of
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venue_named, venues
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session

MAX_SESSIONS = 20
"""Sessions that are listed, the newest first."""
MAX_LINES = 300
"""Lines of one page; a session may have thousands."""


@dataclass(frozen=True, slots=True)
class Row:
    """Bars changed, in all and by cause, and the volume that came or went."""

    label: str
    session: date
    venue: str
    bars: int
    counts: tuple[int, ...]
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """A table of rows; `causes` are the heads of their counts."""

    causes: tuple[Cause, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SessionDrift:
    """One session: its symbols, and what is chosen of it line by line."""

    session: Session
    symbol: str
    cause: Cause | None
    totals: Totals
    lines: tuple[CauseLine, ...]
    left: int
    """How many lines there are beside those."""


def sessions(settings: Settings) -> Totals:
    """Return the newest sessions that have drift."""
    ledger = DriftLedger(settings.lake)
    found = [(day, venue) for day, venue in ledger.sessions()[::-1] if venue in venues()][
        :MAX_SESSIONS
    ]
    groups = [
        (f"{venue} {day}", day, venue, ledger.of_session(session(venue, day)))
        for day, venue in found
    ]
    return _totals(groups)


def of_session(
    settings: Settings, chosen: Session, symbol: str, cause: Cause | None
) -> SessionDrift:
    """Return the drift of one session, by symbol, and the lines of one symbol or cause."""
    entries = entries_of(settings, chosen)
    names = sorted({entry.symbol for entry in entries})
    totals = _totals(
        (name, chosen.date, chosen.venue, [one for one in entries if one.symbol == name])
        for name in names
    )
    lines = lines_of([one for one in entries if symbol in ("", one.symbol)], cause)
    return SessionDrift(
        chosen, symbol, cause, totals, tuple(lines[:MAX_LINES]), max(0, len(lines) - MAX_LINES)
    )


def entries_of(settings: Settings, chosen: Session) -> list[BarDrift]:
    """Return all that publications of a session have changed."""
    return DriftLedger(settings.lake).of_session(chosen)


def session(venue: str, day: date) -> Session:
    """Return a session; ConfigError where there is no such venue."""
    return calendars.session(venue_named(venue), day)


def _totals(groups: Iterable[tuple[str, date, str, Sequence[BarDrift]]]) -> Totals:
    counted = [
        (label, day, venue, entries, Counter(cause for one in entries for cause in one.causes))
        for label, day, venue, entries in groups
    ]
    causes = tuple(cause for cause in Cause if any(counts[cause] for *_, counts in counted))
    return Totals(
        causes,
        tuple(
            Row(
                label, day, venue, len(entries), tuple(counts[cause] for cause in causes),
                _volume(entries),
            )
            for label, day, venue, entries, counts in counted
        ),
    )  # fmt: skip


def _volume(entries: Iterable[BarDrift]) -> Decimal:
    """The volume of minutes: each share once, not once a resolution."""
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
