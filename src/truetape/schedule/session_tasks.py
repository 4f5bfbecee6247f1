"""What the tasks of a session's DAG run: one call each, small dictionaries in and out.

Imports nothing heavy before a task runs.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from truetape.host import calendars
from truetape.host.dates import parse_day, shown
from truetape.host.errors import ConfigError
from truetape.host.private_home import current_settings
from truetape.host.venues import venue_named
from truetape.host.words import REPLACE_REVERT, require_reason
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.schedule.defaults import run_of, triggered_by

if TYPE_CHECKING:
    from truetape.publish.publication import Published


def session_date(
    venue: str, form_date: str | None, interval_start: datetime | None, run_after: datetime
) -> str:
    """Return the date of the session that a run is for.

    It is the date of the form. Without one, it is the session whose data interval the run has, else
    the newest that had closed at `run_after`. Raise ConfigError if there is no such session.
    """
    exchange = venue_named(venue)
    if form_date:
        session = calendars.next_regular(exchange, parse_day(form_date))
        if session is None or str(session.date) != form_date:
            raise ConfigError(f"{venue} has no regular session on {form_date}; choose an open day")
        return form_date
    if interval_start is not None:
        return str(exchange.date_of(_ns(interval_start)))
    newest = calendars.last_regular(exchange, _ns(run_after))
    if newest is None:
        raise ConfigError(f"{venue} has no session before {run_after}; name one in the form")
    return str(newest.date)


def require_trades(venue: str, day: str, counts: Mapping[str, Any]) -> None:
    """Skip the task if the recomputed session has no trades: then there is nothing to publish."""
    if not counts["trades"]:
        raise AirflowSkipException(f"{venue} {day} has no trades in the lake")


def gate(venue: str, day: str, dag_run: Any) -> dict[str, Any]:
    """Ask the quality gate about a recomputed session; return the run of its report.

    The report is listed as one of `dag_run`. Raise GateClosedError if the gate is closed.
    """
    from truetape.quality.checks import require_open

    report = require_open(current_settings(), _session(venue, day), print, run_of(dag_run))
    return {"report": report.run, "rows": dict(report.rows)}


def reason_of(params: Mapping[str, Any]) -> str:
    """Return the reason that a person gave in the form, or an empty text.

    Raise ConfigError if the form replaces a revert and gives none: the ledger records why.
    """
    replaces, reason = params["replace_revert"], params["reason"]
    if not isinstance(replaces, bool):  # a run through the API may hold a text
        raise ConfigError(f"replace_revert is {shown(replaces)}; give true or false")
    if replaces and not reason:
        raise ConfigError(f'"{REPLACE_REVERT}" needs a reason: the ledger records who did it, why')
    return require_reason(reason) if reason else ""


def publish(
    venue: str,
    day: str,
    dag_run: Any,
    *,
    reason: str = "",
    replaces_revert: bool = False,
    dirty: bool = False,
) -> dict[str, Any]:
    """Publish a session, or only its `dirty` symbols; return the content of an asset event.

    With `replaces_revert` it also publishes a session that a revert holds.
    """
    from truetape.pipeline.publish import PublishOptions, publish_once

    options = PublishOptions(supersedes=replaces_revert, dirty_only=dirty, dag_run=run_of(dag_run))
    why = reason or f"{dag_run.dag_id} {dag_run.run_id}"
    settings, session = current_settings(), _session(venue, day)
    published = publish_once(settings, session, triggered_by(dag_run), why, print, options=options)
    return _event(published)


def list_revs(venue: str, day: str) -> list[str]:
    """Return the revs of a session, oldest first, one line each; print them to the task's log.

    Raise ConfigError if the session was never published.
    """
    from truetape.lake.publications import publications
    from truetape.serving.table import utc

    past = publications(current_settings().lake, _session(venue, day))
    if not past:
        raise ConfigError(f"{venue} {day} was never published, so it has no rev to serve again")
    lines = [
        f"rev {item.rev}: {utc(item.published_ns)}, {item.bars:,} bars, {item.edits:,} edits, "
        f"by {item.who}: {item.reason}"
        for item in past
    ]
    print(*lines, sep="\n")
    return lines


def revert(venue: str, day: str, rev: int, *, who: str, reason: str) -> dict[str, Any]:
    """Serve an older rev of a session again; return the content of an asset event."""
    from truetape.pipeline.publish import revert_once

    if type(rev) is not int or rev < 1:  # a form's JSON may hold true, or 1.0
        raise ConfigError(f"rev is {shown(rev)}; give a whole number from 1")
    settings, session = current_settings(), _session(venue, day)
    why = require_reason(reason)
    return _event(revert_once(settings, session, rev, who, why, report=print))


def due_repairs() -> list[dict[str, str]]:
    """Return the dirty sessions that are due for a repair, oldest first."""
    from truetape.pipeline.repairs import RepairState, dirty_sessions

    dirty = dirty_sessions(current_settings().lake)
    due = [session for session in dirty if session.state is RepairState.DUE]
    return [{"venue": session.venue, "session": str(session.day)} for session in due]


def gate_of_repair(venue: str, day: str, dag_run: Any) -> dict[str, Any]:
    """Ask the gate about a repaired session, as `gate` does.

    Skip the task if more was archived since the recompute: that started another run, which repairs
    all of it.
    """
    from truetape.lake.bars_lineage import recompute_bases
    from truetape.lake.dirty import is_included, pending_marks

    lake, session = current_settings().lake, _session(venue, day)
    recomputed = recompute_bases(lake, session)
    newer = {
        mark.symbol for mark in pending_marks(lake, session) if not is_included(mark, recomputed)
    }
    if newer:
        raise AirflowSkipException(f"{len(newer):,} symbols became dirty meanwhile; next run")
    return gate(venue, day, dag_run)


def verify(venue: str, day: str) -> int:
    """Compare the served bars of a session with the lake; return the number of bars compared."""
    from truetape.pipeline.publish import verify_once

    return verify_once(current_settings(), _session(venue, day))


def _event(published: "Published") -> dict[str, Any]:
    return {
        "venue": published.session.venue,
        "session": str(published.session.date),
        "rev": published.last_rev,
        "edits": published.edits,
        "bars": published.bars,
        "indicators": published.indicators,
    }


def _session(venue: str, day: str) -> Session:
    return calendars.parse_session(venue, day)


def _ns(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND_NS
