"""Looks whether what was published lately is still served so, and serves it again where it is not.

InfluxDB can let rows come back as they were before a rewrite (influxdb#24388), also behind a
publication that had read them back. Decides nothing about what is to be served.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from truetape.host import calendars
from truetape.host.errors import VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.bars_lineage import bases
from truetape.lake.publications import Publication, newest_publications
from truetape.market.sessions import Session
from truetape.pipeline.publish import (
    PublishOptions,
    publish_once,
    symbols_recomputed_since,
    verify_once,
)

AUDIT_PERIOD = timedelta(days=7)
"""How far back sessions are looked at; what it costs grows with it."""
REASON = "what was served was not what was published"


@dataclass(frozen=True, slots=True)
class AuditedSession:
    """One session that was looked at, and how many rows were written again."""

    venue: str
    session: date
    rows: int


def audit_served(
    settings: Settings, today: date, report: Callable[[str], None] = lambda _: None
) -> list[AuditedSession]:
    """Publish the sessions of the last days again, which writes only what is served otherwise.

    Safe to repeat. No gate is asked: nothing but what has passed it is written. A session that was
    recomputed since waits for its own publication. One that is held at an older rev is compared
    only, and VerificationError names those that differ.
    """
    found, differing = [], []
    for session, last in _recently_published(settings, today):
        if last.restores:
            try:
                verify_once(settings, session)
            except VerificationError as error:
                differing.append(str(error))
        elif symbols_recomputed_since(bases(settings.lake, session), last) == frozenset():
            outcome = publish_once(
                settings,
                session,
                "maintenance",
                REASON,
                report,
                options=PublishOptions(gated=False),
            )
            found.append(AuditedSession(session.venue, session.date, outcome.edits))
    if differing:
        raise VerificationError("; ".join(differing))
    return found


def _recently_published(settings: Settings, today: date) -> Iterator[tuple[Session, Publication]]:
    """Yield the sessions of the last days that were published, with their newest publication."""
    known = venues()
    for last in newest_publications(settings.lake):
        if today - AUDIT_PERIOD <= last.session <= today:
            yield calendars.session(known[last.venue], last.session), last
