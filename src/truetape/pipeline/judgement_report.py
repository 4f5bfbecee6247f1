"""The judgement for operators (lines), for programs (fields), and as a point of `pipeline`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from truetape.host.runbook import link
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS
from truetape.pipeline.facts import ArchiveFacts, DagFacts, DueSession, Facts, Failed, VenueFacts
from truetape.pipeline.judgement import Concern, Judgement, utc
from truetape.serving.store import Point


def lines(judgement: Judgement, facts: Facts) -> Iterator[str]:
    """Yield the verdict, each concern, and what is expected next of each scheduled venue."""
    yield judgement.sentence
    for concern in judgement.concerns:
        yield f"  {'!' if concern.is_grave else '-'} {concern.kind.value}: {concern.text}"
    if facts.dags is None:
        yield "  Airflow was not asked: paused, failed and late DAGs are not known here"
    for venue in [] if isinstance(facts.venues, Failed) else facts.venues:
        if venue.next is not None:
            yield (
                f"{venue.venue}: last final session {venue.last or 'none'}; next {venue.next.day}, "
                f"due {utc(venue.next.due)}, deadline {utc(venue.next.deadline)}"
            )
    if isinstance(facts.archive, ArchiveFacts):
        newest = facts.archive.newest_ms
        at = "nothing" if newest is None else f"up to {utc(_instant(newest))}"
        yield f"archived: {at}; {facts.archive.awaited:,} records wait for the next run"


def fields(settings: Settings, judgement: Judgement, facts: Facts) -> dict[str, Any]:
    """Return the judgement for programs; instants are in UTC, ISO 8601."""
    venues = () if isinstance(facts.venues, Failed) else facts.venues
    return {
        "verdict": judgement.verdict.value.lower(),
        "sentence": judgement.sentence,
        "at": _iso(judgement.at),
        "concerns": [_concern(settings, concern) for concern in judgement.concerns],
        "venues": [_venue(venue) for venue in venues],
        "archive": _archive(facts.archive),
        "dags": [_dag(dag) for dag in facts.dags] if isinstance(facts.dags, tuple) else None,
    }


def point(settings: Settings, judgement: Judgement) -> Point:
    """Return the point of a judgement; its text is the first concern, empty without one."""
    first = judgement.concerns[0] if judgement.concerns else None
    return Point(
        "verdict",
        {"topic": settings.topic},
        int(judgement.at.timestamp() * 1_000) * (SECOND_NS // 1_000),
        {
            "verdict": judgement.verdict.value,
            "grave": judgement.grave,
            "light": len(judgement.concerns) - judgement.grave,
            "text": "" if first is None else f"{first.kind.value}: {first.text}",
        },
    )


def _concern(settings: Settings, concern: Concern) -> dict[str, Any]:
    return {
        "kind": concern.kind.name.lower(),
        "severity": "grave" if concern.is_grave else "light",
        "venue": concern.venue,
        "text": concern.text,
        "page": f"/truetape/{concern.page}" if concern.page else None,
        "airflow": f"/{concern.airflow}" if concern.airflow else None,
        "runbook": link(settings, concern.kind.value),
    }


def _venue(venue: VenueFacts) -> dict[str, Any]:
    return {
        "venue": venue.venue,
        "scheduled": venue.is_scheduled,
        "first_final": _day(venue.first),
        "last_final": _day(venue.last),
        "missing": [_session(session) for session in venue.missing],
        "next": None if venue.next is None else _session(venue.next),
    }


def _session(session: DueSession) -> dict[str, str]:
    return {
        "session": str(session.day),
        "due": _iso(session.due),
        "deadline": _iso(session.deadline),
    }


def _archive(archive: ArchiveFacts | Failed) -> dict[str, Any] | None:
    if isinstance(archive, Failed):
        return None
    newest = archive.newest_ms
    return {
        "newest_record": None if newest is None else _iso(_instant(newest)),
        "waiting": archive.awaited,
        "overdue": archive.overdue,
    }


def _dag(dag: DagFacts) -> dict[str, Any]:
    last = dag.last
    return {
        "dag": dag.duty.dag,
        "known": dag.is_known,
        "paused": dag.is_paused,
        "last_run": None if last is None else last.run,
        "last_failed": None if last is None else last.is_failed,
        "next": None if dag.next is None else _iso(dag.next),
    }


def _day(day: object) -> str | None:
    return None if day is None else str(day)


def _instant(stamp_ms: int) -> datetime:
    return datetime.fromtimestamp(stamp_ms / 1_000, UTC)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
