"""The judgement of the whole pipeline: are the served bars complete, and if not, why? Does no I/O.

The overview page, `truetape status`, the health endpoint and the bucket `pipeline` all use it. The
runbook has a section for each `Kind`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from truetape.host.words import counted
from truetape.pipeline.facts import (
    ARCHIVE_WITHIN,
    ArchiveFacts,
    DagFacts,
    DueSession,
    Facts,
    Failed,
    LedgerFacts,
    Part,
    SpeedFacts,
    VenueFacts,
)
from truetape.pipeline.repairs import DirtySession, RepairState
from truetape.quality.report import Report
from truetape.quality.suite import Severity

RUN_LATE_AFTER = timedelta(minutes=15)
"""How long after its time a scheduled run may start."""
MAX_WAIT_MIN = int(ARCHIVE_WITHIN.total_seconds()) // 60

_WITHOUT = {
    Part.SUPERVISION: "a driver of the speed layer that dies is not replaced",
    Part.ARCHIVE: "new trades do not reach the lake",
    Part.SESSIONS: "its sessions do not become final",
    Part.REPAIRS: "late trades and corrections do not reach final bars",
    Part.CHECKS: "feeds and served bars are not checked",
    Part.FILLING: "missing records are not fetched at night",
    Part.UPKEEP: "old files and runs are not deleted",
}
"""What happens without the DAG of a part."""
_GRAVE_IF_FAILED = frozenset({Part.SUPERVISION, Part.ARCHIVE, Part.SESSIONS, Part.REPAIRS})
_GRAVE_IF_MISSING = frozenset({Part.SUPERVISION, Part.ARCHIVE, Part.SESSIONS})


class Kind(StrEnum):
    """What a concern is about; the heading of its section in the runbook."""

    ARCHIVE_BEHIND = "Archive behind"
    CANNOT_BE_READ = "Cannot be read"
    DAG_FAILED = "DAG failed"
    DAG_LATE = "DAG late"
    DAG_MISSING = "DAG missing"
    DAG_PAUSED = "DAG paused"
    DEADLINE_MISSED = "Deadline missed"
    GAP = "Gap"
    GATE_CLOSED = "Gate closed"
    LATE_DATA = "Late data"
    NOTHING_FINAL = "Nothing final"
    OFFSETS_REUSED = "Offsets reused"
    RECORDS_LOST = "Records lost"
    RECORDS_MISSING = "Records missing"
    REVERT_IN_FORCE = "Revert in force"
    SPEED_LAYER_STOPPED = "Speed layer stopped"
    SPEED_LAYER_UNHEALTHY = "Speed layer unhealthy"


class Verdict(StrEnum):
    """The answer to "Is what I see complete?"."""

    YES = "Yes"
    NEARLY = "Nearly"
    NOT_YET = "Not yet"
    NO = "No"


@dataclass(frozen=True, slots=True)
class Concern:
    """A reason why the served bars are not complete, or will not stay so.

    `page` is a path below the console, `airflow` one below Airflow: where a person sees more.
    """

    kind: Kind
    text: str
    is_grave: bool
    venue: str = ""
    page: str = ""
    airflow: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The concerns, grave ones first, and the closed sessions whose deadline is ahead (`waiting`).

    `is_new` is True if no scheduled venue has a final session yet.
    """

    at: datetime
    concerns: tuple[Concern, ...]
    waiting: tuple[tuple[str, DueSession], ...]
    is_new: bool

    @property
    def grave(self) -> int:
        """Return the number of grave concerns."""
        return sum(concern.is_grave for concern in self.concerns)

    @property
    def is_known(self) -> bool:
        """True if every source could be read."""
        return all(concern.kind is not Kind.CANNOT_BE_READ for concern in self.concerns)

    @property
    def verdict(self) -> Verdict:
        """Return the answer in a word or two."""
        if self.grave:
            return Verdict.NO
        if self.is_new:
            return Verdict.NOT_YET
        return Verdict.NEARLY if self.concerns else Verdict.YES

    @property
    def sentence(self) -> str:
        """Return the answer as a sentence or two."""
        if self.verdict is Verdict.YES and self.waiting:
            names = ", ".join(
                f"{venue} {session.day} (by {utc(session.deadline)})"
                for venue, session in self.waiting
            )
            return (
                "Yes. Every trade received is in the bars, and every session that is due is final. "
                f"In time, but not final yet: {names}."
            )
        if self.verdict is Verdict.YES:
            return "Yes. Every trade received is in the bars, and every closed session is final."
        return f"{self.verdict.value}."


def judge(facts: Facts) -> Judgement:
    """Judge the facts: what is wrong, grave concerns first."""
    scheduled = [venue for venue in _listed(facts.venues) if venue.is_scheduled]
    waiting = [
        (venue.venue, session)
        for venue in scheduled
        for session in venue.missing
        if session.deadline > facts.at
    ]
    concerns = sorted(_concerns(facts), key=lambda concern: not concern.is_grave)
    is_new = bool(scheduled) and all(venue.last is None for venue in scheduled)
    return Judgement(facts.at, tuple(concerns), tuple(waiting), is_new)


def utc(instant: datetime) -> str:
    """Return an instant as the sentences show it, to the minute."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _listed(venues: tuple[VenueFacts, ...] | Failed) -> tuple[VenueFacts, ...]:
    return () if isinstance(venues, Failed) else venues


def _concerns(facts: Facts) -> Iterator[Concern]:
    yield from _unreadable(facts)
    if isinstance(facts.speed, SpeedFacts):
        yield from _of_speed(facts.speed)
    pages = _dag_pages(facts.dags)
    for venue in _listed(facts.venues):
        yield from _of_venue(venue, facts.at, pages.get(venue.venue, ""))
    if not isinstance(facts.closed, Failed):
        yield from map(_of_gate, facts.closed)
    if isinstance(facts.archive, ArchiveFacts):
        yield from _of_archive(facts.archive)
    if isinstance(facts.ledger, LedgerFacts):
        yield from _of_ledger(facts.ledger)
    if isinstance(facts.dags, tuple):
        for dag in facts.dags:
            yield from _of_dag(dag, facts.at)


def _unreadable(facts: Facts) -> Iterator[Concern]:
    sources = {
        "the speed layer": facts.speed,
        "final ranges": facts.venues,
        "publications": facts.ledger,
        "served bars": facts.store,
        "offsets": facts.archive,
        "quality reports": facts.closed,
        "Airflow": facts.dags,
    }
    for name, source in sources.items():
        if isinstance(source, Failed):
            yield Concern(Kind.CANNOT_BE_READ, f"{name}: {source.reason}", is_grave=True)


def _of_speed(speed: SpeedFacts) -> Iterator[Concern]:
    if speed.ordered == "stopped":
        by = f" by {speed.ordered_by}" if speed.ordered_by else ""
        text = f"no provisional bars are written. Stopped{by}: {speed.order_reason}"
        yield Concern(Kind.SPEED_LAYER_STOPPED, text, is_grave=False)
    elif speed.health not in ("healthy", "starting"):
        text = f"it is {speed.health}: {speed.reason}"
        yield Concern(Kind.SPEED_LAYER_UNHEALTHY, text, is_grave=True)


def _dag_pages(dags: tuple[DagFacts, ...] | Failed | None) -> dict[str, str]:
    """Return the page in Airflow of each venue's DAG."""
    known = dags if isinstance(dags, tuple) else ()
    return {dag.duty.venue: dag.page for dag in known}


def _of_venue(venue: VenueFacts, now: datetime, dag_page: str) -> Iterator[Concern]:
    def concern(kind: Kind, text: str, *, is_grave: bool) -> Concern:
        return Concern(kind, text, is_grave=is_grave, venue=venue.venue, airflow=dag_page)

    late = [session for session in venue.missing if session.deadline <= now]
    if late:
        yield concern(Kind.DEADLINE_MISSED, _late(venue.venue, late), is_grave=True)
    if venue.is_scheduled and venue.last is None:
        expected = ""
        if venue.next is not None:
            deadline = utc(venue.next.deadline)
            expected = f" yet. The first will be {venue.next.day}, by {deadline}"
        text = f"{venue.venue} has no final session{expected}"
        yield concern(Kind.NOTHING_FINAL, text, is_grave=False)
    if venue.gaps:
        first, last = venue.gaps[0][0], venue.gaps[-1][1]
        text = f"{venue.venue} has no publication of {_span(first, last)}"
        if len(venue.gaps) > 1:
            text = f"{venue.venue} has {len(venue.gaps):,} gaps between {first} and {last}"
        yield concern(Kind.GAP, text, is_grave=False)


def _late(venue: str, late: Sequence[DueSession]) -> str:
    if len(late) == 1:
        return f"{venue} {late[0].day} is not final. Its deadline was {utc(late[0].deadline)}"
    return (
        f"{venue}: {len(late):,} closed sessions are not final, {late[0].day} to {late[-1].day}. "
        f"The deadline of the last one was {utc(late[-1].deadline)}"
    )


def _span(first: date, last: date) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _of_gate(report: Report) -> Concern:
    closing = (result for result in report.results if result.severity is Severity.GATE)
    broken = ", ".join(result.rule for result in closing if not result.passed)
    session = {"venue": report.venue, "session": report.session, "run": report.run}
    return Concern(
        Kind.GATE_CLOSED,
        f"{report.venue} {report.session} was not published. Broken rules: {broken}",
        is_grave=True,
        venue=report.venue or "",
        page=f"quality/report?{urlencode(session)}",
    )


def _of_archive(archive: ArchiveFacts) -> Iterator[Concern]:
    for part in archive.partitions:
        if part.is_replaced:
            name = f"{part.lake.topic}/{part.lake.partition}"
            text = f"Kafka lost records of {name} and gives their offsets to others. Nothing is "
            yield Concern(Kind.OFFSETS_REUSED, f"{text}archived", is_grave=True, page="backfill")
    if archive.overdue:
        records = counted(archive.overdue, "record has", "records have")
        text = f"{records} waited for over {MAX_WAIT_MIN} minutes"
        yield Concern(
            Kind.ARCHIVE_BEHIND, f"{text}{_reached(archive)}", is_grave=True, page="backfill"
        )
    for kind, recoverable, where in (
        (Kind.RECORDS_MISSING, True, "missing in the lake. Kafka still has them"),
        (Kind.RECORDS_LOST, False, "lost for good: Kafka deleted them before they were archived"),
    ):
        count = sum(part.missing(recoverable=recoverable) for part in archive.partitions)
        if count:
            text = f"{counted(count, 'record is', 'records are')} {where}"
            yield Concern(kind, text, is_grave=recoverable, page="backfill")


def _reached(archive: ArchiveFacts) -> str:
    """Return up to where the records are archived, as a sentence; empty if it is not known."""
    if not any(part.counted for part in archive.partitions):
        return ". Nothing is archived yet"
    if archive.newest_ms is None:
        return ""
    newest = datetime.fromtimestamp(archive.newest_ms // 1_000, UTC)
    return f". The newest archived record is of {utc(newest)}"


def _of_ledger(ledger: LedgerFacts) -> Iterator[Concern]:
    for dirty in ledger.dirty:
        if dirty.state is not RepairState.UNPUBLISHED:
            yield _of_dirty(dirty)
    for held in ledger.held:
        yield Concern(
            Kind.REVERT_IN_FORCE,
            f"{held.venue} {held.session} is held at rev {held.restores} by {held.who}: "
            f"{held.reason}",
            is_grave=False,
            venue=held.venue,
            page=_drift(held.venue, held.session),
        )


def _of_dirty(dirty: DirtySession) -> Concern:
    symbols = counted(len(dirty.symbols), "symbol")
    state = "A repair is due" if dirty.state is RepairState.DUE else "A revert holds the session"
    return Concern(
        Kind.LATE_DATA,
        f"{dirty.venue} {dirty.day} has trades or changes of {symbols} that its final bars lack. "
        f"{state}",
        is_grave=False,
        venue=dirty.venue,
        page=_drift(dirty.venue, dirty.day),
    )


def _drift(venue: str, day: date) -> str:
    return f"drift/session?{urlencode({'venue': venue, 'session': day})}"


def _of_dag(facts: DagFacts, now: datetime) -> Iterator[Concern]:
    duty, dag = facts.duty, facts.duty.dag
    without = _WITHOUT[duty.part]

    def concern(kind: Kind, text: str, *, is_grave: bool, page: str = facts.page) -> Concern:
        return Concern(kind, text, is_grave=is_grave, venue=duty.venue, airflow=page)

    if not facts.is_known:
        text = f"Airflow has no DAG {dag}: {without}"
        yield concern(Kind.DAG_MISSING, text, is_grave=duty.part in _GRAVE_IF_MISSING)
        return
    if facts.is_paused:
        is_grave = duty.part is Part.SUPERVISION
        yield concern(Kind.DAG_PAUSED, f"{dag} is paused: {without}", is_grave=is_grave)
    elif facts.next is not None and facts.next + RUN_LATE_AFTER < now:
        text = f"{dag} should have started at {utc(facts.next)}. Is the scheduler running?"
        yield concern(Kind.DAG_LATE, text, is_grave=duty.part in _GRAVE_IF_MISSING)
    if facts.last is not None and facts.last.is_failed:
        when = "" if facts.last.ended is None else f" at {utc(facts.last.ended)}"
        yield concern(
            Kind.DAG_FAILED,
            f"the last run of {dag} failed{when}. Until a run succeeds, {without}",
            is_grave=duty.part in _GRAVE_IF_FAILED,
            page=facts.last_page,
        )
