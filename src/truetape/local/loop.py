"""The batch half of the loop, for sessions that are over: archive, recompute, publish, verify."""

import getpass
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from truetape.batch.recompute import Recomputed
from truetape.batch.run import Archived, archive_once, recompute_once
from truetape.market.sessions import Session
from truetape.reconcile.publication import Mismatch, Published, verify
from truetape.reconcile.run import publish_once
from truetape.serving.store import open_store
from truetape.settings import Settings

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What the batch layer did with one session."""

    recomputed: Recomputed
    published: Published
    compared: int
    mismatches: list[Mismatch]


def settle(
    settings: Settings, sessions: Iterable[Session], reason: str, report: Report
) -> tuple[Archived, list[SessionOutcome]]:
    """Archive what Kafka has, then make the given sessions final, oldest first."""
    report("archiving what Kafka holds")
    archived = archive_once(settings)
    return archived, [_settle_one(settings, session, reason, report) for session in sessions]


def _settle_one(
    settings: Settings, session: Session, reason: str, report: Report
) -> SessionOutcome:
    label = f"{session.venue} {session.date}"
    report(f"{label}: recomputing")
    recomputed = recompute_once(settings, session)
    report(f"{label}: publishing")
    published = publish_once(settings, session, getpass.getuser(), reason, report)
    with closing(open_store(settings)) as store:
        compared, mismatches = verify(settings.lake, store, session)
    return SessionOutcome(recomputed, published, compared, mismatches)
