"""What the tasks of a session's DAG run: one call each, small dictionaries in and out.

Imports nothing heavy before a task runs.
"""

from datetime import date, datetime
from typing import Any

from truetape import calendars
from truetape.errors import ConfigError
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.settings import Settings
from truetape.venues import venues


def session_date(venue: str, asked: str | None, start: datetime | None, at: datetime) -> str:
    """Return the date of the session that a run is for.

    It is the one asked for in the form, else the one that the data interval starts, else the newest
    that had closed at `at`. ConfigError when there is no such session.
    """
    known = venues()[venue]
    if asked:
        found = calendars.next_regular(known, date.fromisoformat(asked))
        if found is None or str(found.date) != asked:
            raise ConfigError(f"{venue} has no regular session on {asked}; choose an open day")
        return asked
    if start is not None:
        return str(known.date_of(_ns(start)))
    newest = calendars.last_regular(known, _ns(at))
    if newest is None:
        raise ConfigError(f"{venue} has no session before {at}; name one in the form")
    return str(newest.date)


def gate(venue: str, day: str) -> dict[str, Any]:
    """Ask the quality gate about a recomputed session; return the run of its report.

    GateClosedError when it stays shut.
    """
    from truetape.quality.run import require_open

    report = require_open(Settings.from_env(), _session(venue, day), print)
    return {"report": report.run, "rows": dict(report.rows)}


def publish(venue: str, day: str, who: str, reason: str) -> dict[str, Any]:
    """Publish a session; return what an asset event says about it."""
    from truetape.reconcile.run import publish_once

    outcome = publish_once(Settings.from_env(), _session(venue, day), who, reason, print)
    return {
        "venue": venue,
        "session": day,
        "rev": outcome.last_rev,
        "edits": outcome.edits,
        "bars": outcome.bars,
        "indicators": outcome.indicators,
    }


def verify(venue: str, day: str) -> int:
    """Compare what is served of a session with the lake; return the number of bars compared."""
    from truetape.reconcile.run import verify_once

    return verify_once(Settings.from_env(), _session(venue, day))


def _session(venue: str, day: str) -> Session:
    return calendars.session(venues()[venue], date.fromisoformat(day))


def _ns(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND_NS
