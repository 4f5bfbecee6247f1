"""Compares the calendar with what is final: which closed sessions are missing, and what is next.

Reads calendars only. A session is closed when its regular session is over, due when its recompute
may start, and late after its deadline; Airflow's timetable and deadline are the same.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from truetape.broker.boundary import Boundary
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.market.ranges import Ranges
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session, Venue
from truetape.pipeline.facts import DueSession, VenueFacts
from truetape.pipeline.status import Gap, gaps

MAX_DAYS = 400
"""How far back missing sessions are listed: a longer list says nothing more."""


@dataclass(frozen=True, slots=True)
class FinalRule:
    """When a session must be final: `delay` after its trading it is due, `within` later late."""

    delay: timedelta
    within: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "FinalRule":
        """Return the rule of the settings."""
        return cls(
            timedelta(minutes=settings.batch_delay_min),
            timedelta(minutes=settings.final_within_min),
        )

    def due(self, venue: Venue, session: Session) -> DueSession:
        """Return when a regular session is due, and its deadline."""
        close = datetime.fromtimestamp((session.close_ns or session.end_ns) // SECOND_NS, UTC)
        due = close + venue.after_hours + self.delay
        return DueSession(session.date, due, due + self.within)


def venue_facts(
    venue: Venue, boundary: Boundary, rule: FinalRule | None, now: datetime
) -> VenueFacts:
    """Compare a venue's calendar with its boundary. Without a `rule` nothing is expected.

    Raise ConfigError if the calendar lacks a date.
    """
    missing = () if rule is None else tuple(_missing(venue, boundary, rule, now))
    first, last = _final_days(venue, boundary)
    return VenueFacts(
        venue.code,
        venue.name,
        rule is not None,
        boundary,
        first,
        last,
        missing,
        None if rule is None else _next(venue, missing, rule, now, is_new=not boundary.final_ns),
        tuple(_gaps(venue, boundary, is_scheduled=rule is not None)),
    )


def _gaps(venue: Venue, boundary: Boundary, *, is_scheduled: bool) -> list[Gap]:
    """Return the gaps; of a scheduled venue those before the boundary: the others are missing."""
    reached = venue.date_of(boundary.final_ns)
    return [gap for gap in gaps(boundary, venue) if not is_scheduled or gap[0] < reached]


def _final_days(venue: Venue, boundary: Boundary) -> tuple[date | None, date | None]:
    """Return the first and the last regular session of the final range."""
    if not boundary.final_ns:
        return None, None
    first = calendars.next_regular(venue, venue.date_of(boundary.final_from_ns))
    last = calendars.last_regular(venue, boundary.final_ns)
    return None if first is None else first.date, None if last is None else last.date


def _missing(venue: Venue, boundary: Boundary, rule: FinalRule, now: datetime) -> list[DueSession]:
    """Return the closed sessions behind the boundary that no publication made final."""
    now_ns = _ns(now)
    today = venue.date_of(now_ns)
    first = max(venue.date_of(boundary.final_ns), today - timedelta(days=MAX_DAYS))
    if not boundary.final_ns or first > today:
        return []
    return [
        rule.due(venue, session)
        for session in calendars.sessions(venue, first, today)
        if session.close_ns is not None
        and session.close_ns <= now_ns
        and Ranges.between(session.start_ns, session.end_ns) - boundary.runs
    ]


def _next(
    venue: Venue, missing: tuple[DueSession, ...], rule: FinalRule, now: datetime, *, is_new: bool
) -> DueSession | None:
    """Return the session that becomes final next: a closed one in time, else the next to close.

    A venue without a final session (`is_new`) starts with the last closed one.
    """
    now_ns = _ns(now)
    closed = calendars.last_regular(venue, now_ns) if is_new else None
    waiting = missing if closed is None else (rule.due(venue, closed),)
    for session in waiting:
        if session.deadline > now:
            return session
    coming = calendars.next_regular(venue, venue.date_of(now_ns))
    if coming is not None and coming.close_ns is not None and coming.close_ns <= now_ns:
        coming = calendars.next_regular(venue, coming.date + timedelta(days=1))
    return None if coming is None else rule.due(venue, coming)


def _ns(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND_NS
