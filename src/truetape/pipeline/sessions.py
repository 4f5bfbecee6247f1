"""The batch layer's jobs for sessions that are over: archive, recompute, publish, verify, repair.

Schedules nothing and decides nothing about bars.
"""

import getpass
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

from truetape.batch.backfill_plan import BackfillPlan
from truetape.batch.jobs import Archived, archive_once, recompute_once
from truetape.batch.recompute import Recomputed
from truetape.host import calendars
from truetape.host.errors import GateClosedError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.pipeline.publish import DEFAULT_OPTIONS, PublishOptions, publish_once
from truetape.pipeline.repairs import RepairState, dirty_sessions
from truetape.publish.publication import Published
from truetape.publish.revert import is_held
from truetape.publish.verification import Mismatch, verify
from truetape.quality.dag_runs import DagRun
from truetape.serving.backends import open_store

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """The results of making one session final."""

    recomputed: Recomputed
    published: Published
    compared: int
    mismatches: list[Mismatch]


def finalize_sessions(
    settings: Settings, sessions: Iterable[Session], reason: str, report: Report
) -> tuple[Archived, list[SessionOutcome]]:
    """Archive what Kafka has, then make the given sessions final, oldest first."""
    report("archiving what Kafka holds")
    archived = archive_once(settings)
    who = getpass.getuser()
    outcomes = [finalize_session(settings, session, reason, report, who) for session in sessions]
    return archived, outcomes


def finalize_backfilled(
    settings: Settings,
    backfill: BackfillPlan,
    who: str,
    now: datetime,
    report: Report,
    *,
    dag_run: DagRun | None = None,
) -> tuple[list[SessionOutcome], list[tuple[str, date]]]:
    """Make the sessions of a backfill final, oldest first; return the outcomes, and the sessions
    that are not over at `now`: their own recompute makes them final later.

    A session that a revert holds is skipped and stays dirty. Archives nothing, since the archive
    may be what failed. Safe to repeat. `dag_run` is the run that asked for it.
    """
    by_code = venues()
    sessions = [
        calendars.session(by_code[venue], day) for venue, day in backfill.sessions_to_finalize()
    ]
    now_ns = int(now.timestamp()) * SECOND_NS
    reason = f"backfill {backfill.plan.digest}: {backfill.plan.request.reason}"
    options = PublishOptions(dag_run=dag_run)
    outcomes = [
        finalize_session(settings, session, reason, report, who, options=options)
        for session in sessions
        if session.end_ns <= now_ns and not is_held(settings.lake, session)
    ]
    still_open = [(session.venue, session.date) for session in sessions if session.end_ns > now_ns]
    return outcomes, still_open


def repair_dirty(
    settings: Settings, who: str, reason: str, report: Report
) -> tuple[list[SessionOutcome], list[GateClosedError]]:
    """Recompute and publish the dirty symbols of every published session that no revert holds.

    Return the outcomes, and the errors of sessions that stay dirty because their gate is closed.
    """
    by_code, options = venues(), PublishOptions(dirty_only=True)
    outcomes, closed = [], []
    for dirty in dirty_sessions(settings.lake):
        if dirty.state is not RepairState.DUE:
            continue
        session = calendars.session(by_code[dirty.venue], dirty.day)
        try:
            outcome = finalize_session(settings, session, reason, report, who, options=options)
        except GateClosedError as error:  # the other sessions have gates of their own
            closed.append(error)
        else:
            outcomes.append(outcome)
    return outcomes, closed


def finalize_session(
    settings: Settings,
    session: Session,
    reason: str,
    report: Report,
    who: str,
    *,
    options: PublishOptions = DEFAULT_OPTIONS,
) -> SessionOutcome:
    """Recompute, publish and verify one session; only its dirty symbols with `dirty_only`."""
    label = f"{session.venue} {session.date}"
    report(f"{label}: recomputing")
    recomputed = recompute_once(settings, session, dirty=options.dirty_only)
    report(f"{label}: publishing")
    published = publish_once(settings, session, who, reason, report, options=options)
    with closing(open_store(settings)) as store:
        compared, mismatches = verify(settings.lake, store, session)
    return SessionOutcome(recomputed, published, compared, mismatches)
