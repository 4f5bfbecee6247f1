"""The batch half of the loop, for sessions that are over: archive, recompute, publish, verify; and
again for what is dirty.
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
    """What the batch layer did with one session."""

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
    """Make final what a backfill touched, oldest first; return the outcomes, and the sessions that
    are not over at `now` and are left to their own recompute. One that is held by a revert stays
    as it is, and dirty. `of` is the run of a DAG that asks.

    Archives nothing: the archive may be what cannot go on. Safe to repeat.
    """
    known = venues()
    found = [calendars.session(known[venue], day) for venue, day in backfill.to_settle()]
    now_ns = int(now.timestamp()) * SECOND_NS
    reason = f"backfill {backfill.plan.digest}: {backfill.plan.request.reason}"
    outcomes = [
        finalize_session(
            settings, session, reason, report, who, options=PublishOptions(dag_run=dag_run)
        )
        for session in found
        if session.end_ns <= now_ns and not is_held(settings.lake, session)
    ]
    return outcomes, [(one.venue, one.date) for one in found if one.end_ns > now_ns]


def repair_dirty(
    settings: Settings, who: str, reason: str, report: Report
) -> tuple[list[SessionOutcome], list[GateClosedError]]:
    """Recompute and publish the dirty symbols of every published session that is not held; return
    the outcomes, and the closed gates of those that stay dirty.
    """
    known, options = venues(), PublishOptions(dirty_only=True)
    due = [one for one in dirty_sessions(settings.lake) if one.state is RepairState.DUE]
    found = [calendars.session(known[one.venue], one.day) for one in due]
    outcomes, closed = [], []
    for session in found:
        try:
            outcomes.append(
                finalize_session(settings, session, reason, report, who, options=options)
            )
        except GateClosedError as error:  # of this session; the others are none the worse
            closed.append(error)
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
    """Make one session final from what the lake holds: recompute, publish, verify; all of it, or
    what is dirty.
    """
    label = f"{session.venue} {session.date}"
    report(f"{label}: recomputing")
    recomputed = recompute_once(settings, session, dirty=options.dirty_only)
    report(f"{label}: publishing")
    published = publish_once(settings, session, who, reason, report, options=options)
    with closing(open_store(settings)) as store:
        compared, mismatches = verify(settings.lake, store, session)
    return SessionOutcome(recomputed, published, compared, mismatches)
