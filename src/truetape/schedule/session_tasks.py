"""What the tasks of a session's DAG run: one call each, small dictionaries in and out.

Imports nothing heavy before a task runs.
"""

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.quality.dag_runs import DagRun

if TYPE_CHECKING:
    from truetape.publish.publication import Published


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


def gate(venue: str, day: str, of: DagRun) -> dict[str, Any]:
    """Ask the quality gate about a recomputed session; return the run of its report.

    GateClosedError when it stays shut. `of` is the run that asks; the report is noted as its own.
    """
    from truetape.quality.checks import require_open

    report = require_open(Settings.from_env(), _session(venue, day), print, of)
    return {"report": report.run, "rows": dict(report.rows)}


def publish(
    venue: str,
    day: str,
    who: str,
    reason: str,
    *,
    supersedes: bool = False,
    dirty: bool = False,
    of: DagRun | None = None,
) -> dict[str, Any]:
    """Publish a session, or what is dirty of it; return what an asset event says about it.

    `supersedes`: also one that a revert holds. `of` is the run that publishes.
    """
    from truetape.pipeline.publish import PublishOptions, publish_once

    options = PublishOptions(supersedes=supersedes, dirty_only=dirty, dag_run=of)
    settings, session = Settings.from_env(), _session(venue, day)
    return _told(publish_once(settings, session, who, reason, print, options=options))


def revert(venue: str, day: str, rev: int, who: str, reason: str) -> dict[str, Any]:
    """Serve an older rev of a session again; return what an asset event says about it."""
    from truetape.pipeline.publish import revert_once

    settings, session = Settings.from_env(), _session(venue, day)
    return _told(revert_once(settings, session, rev, who, reason, report=print))


def due_repairs() -> list[dict[str, str]]:
    """Return the dirty sessions that are to be repaired, oldest first."""
    from truetape.pipeline.repairs import RepairState, dirty_sessions

    found = dirty_sessions(Settings.from_env().lake)
    due = [one for one in found if one.state is RepairState.DUE]
    return [{"venue": one.venue, "session": str(one.day)} for one in due]


def gate_of_repair(venue: str, day: str, of: DagRun) -> dict[str, Any]:
    """Ask the gate about a repaired session, as `gate` does.

    Skipped where more was archived since the recompute: the run that this has woken brings all.
    """
    from truetape.lake.bars_lineage import bases
    from truetape.lake.dirty import is_settled, pending

    lake, session = Settings.from_env().lake, _session(venue, day)
    known = bases(lake, session)
    newer = {one.symbol for one in pending(lake, session) if not is_settled(one, known)}
    if newer:
        raise AirflowSkipException(f"{len(newer):,} symbols became dirty meanwhile; next run")
    return gate(venue, day, of)


def verify(venue: str, day: str) -> int:
    """Compare what is served of a session with the lake; return the number of bars compared."""
    from truetape.pipeline.publish import verify_once

    return verify_once(Settings.from_env(), _session(venue, day))


def _told(outcome: "Published") -> dict[str, Any]:
    return {
        "venue": outcome.session.venue,
        "session": str(outcome.session.date),
        "rev": outcome.last_rev,
        "edits": outcome.edits,
        "bars": outcome.bars,
        "indicators": outcome.indicators,
    }


def _session(venue: str, day: str) -> Session:
    return calendars.session(venues()[venue], date.fromisoformat(day))


def _ns(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND_NS
