"""The audit of served bars: recent sessions are compared with their publication, and repaired.

InfluxDB can show rows again as they were before a rewrite (influxdb#24388), even after a
publication has read them back. Decides nothing about which bars must be served.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from truetape.host import calendars
from truetape.host.errors import VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.bars_lineage import recompute_bases
from truetape.lake.publications import Publication, newest_publications
from truetape.market.sessions import Session
from truetape.pipeline.publish import (
    PublishOptions,
    publish_once,
    symbols_recomputed_since,
    verify_once,
)

AUDIT_PERIOD = timedelta(days=7)
"""How far back sessions are audited; the cost grows with it."""
REASON = "served rows differed from the published ones"


@dataclass(frozen=True, slots=True)
class AuditedSession:
    """One audited session, and how many rows were written again."""

    venue: str
    session: date
    rows: int


def audit_served(
    settings: Settings, today: date, report: Callable[[str], None] = lambda _: None
) -> list[AuditedSession]:
    """Publish the sessions of the last days again, which writes only the rows that differ.

    Safe to repeat. Asks no gate: it writes only bars that have passed it. Skips a session that was
    recomputed since; its own publication follows. Only compares a session that a revert holds:
    raise VerificationError with the names of those that differ.
    """
    audited, differing = [], []
    options = PublishOptions(gated=False)
    for session, last in _recently_published(settings, today):
        if last.restores:
            try:
                verify_once(settings, session)
            except VerificationError as error:
                differing.append(str(error))
        elif symbols_recomputed_since(recompute_bases(settings.lake, session), last) == frozenset():
            outcome = publish_once(
                settings, session, "maintenance", REASON, report, options=options
            )
            audited.append(AuditedSession(session.venue, session.date, outcome.edits))
    if differing:
        raise VerificationError("; ".join(differing))
    return audited


def _recently_published(settings: Settings, today: date) -> Iterator[tuple[Session, Publication]]:
    """Yield the published sessions of the last days, each with its newest publication."""
    by_code = venues()
    for last in newest_publications(settings.lake):
        if today - AUDIT_PERIOD <= last.session <= today:
            yield calendars.session(by_code[last.venue], last.session), last
