"""Publishing and reverting as one call: gate, fence, publication, boundary, in the order that keeps
the layers apart.

Called by the command line and by the DAGs alike.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from truetape.broker.boundary import Boundary, claim_of
from truetape.broker.control_topic import ControlTopic
from truetape.drift.attribution import Cause
from truetape.drift.recorder import DriftRecorder
from truetape.host import calendars
from truetape.host.errors import ConfigError, TransientError, VerificationError
from truetape.host.locks import exclusive
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.bars_lineage import Basis, bases
from truetape.lake.dirty import settle
from truetape.lake.publications import Publication, newest_publications, publications
from truetape.market.ranges import Range
from truetape.market.sessions import Session, Venue
from truetape.publish.events import boundary_points, publication_points
from truetape.publish.indicators import publish_indicators, restore_indicators
from truetape.publish.publication import (
    PublicationRequest,
    Published,
    next_rev,
    publish,
    publish_target,
)
from truetape.publish.revert import reconstruct, revert_in_force, target_bars
from truetape.publish.verification import compare_served
from truetape.quality.checks import is_current, require_open
from truetape.quality.dag_runs import DagRun
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore
from truetape.speed.control_records import Board
from truetape.speed.fence import clear_late_writes, wait_until_fenced

ROLLUP_WAIT_S = 120.0
PUBLISH_WAIT_S = 1_800.0
"""How long a publication waits for another one of the same venue and home."""
WITHOUT_GATE = "without the gate"
"""How the reason of a publication begins that asked no gate."""


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How a publication differs from the usual one. Each departure needs somebody who says so.

    `gated`: asks the quality gate. `dirty`: leaves symbols alone that were not recomputed since
    the last publication. `supersedes`: may replace a revert. `begins`: the boundary counts from
    this session on, whatever is missing before it. `of` is the run of a DAG that publishes: the
    gate's report is noted as one of its reports.
    """

    gated: bool = True
    dirty_only: bool = False
    supersedes: bool = False
    restarts_boundary: bool = False
    dag_run: DagRun | None = None


DEFAULT_OPTIONS = PublishOptions()


def publish_once(
    settings: Settings,
    session: Session,
    who: str,
    reason: str,
    report: Callable[[str], None] = lambda _: None,
    *,
    options: PublishOptions = DEFAULT_OPTIONS,
) -> Published:
    """Publish one session of the lake to the bar store, if the quality gate lets it.

    GateClosedError when it does not: nothing is written then, and no fence goes up. Without the
    gate, the ledger says so beside the reason. ConfigError for a session that was reverted, unless
    the options supersede that. TransientError when a live speed driver does not keep to the fence
    in time; nothing but the fence is written then.
    """
    verdict = require_open(settings, session, report, options.dag_run) if options.gated else None
    with _open_publication(settings, session, report) as desk:
        past = publications(settings.lake, session)
        words = ledger_reason(reason, options, past, session)
        desk.raise_fence(report)
        if verdict is not None and not is_current(settings, session, verdict):
            raise TransientError(
                f"{session.venue} {session.date} was recomputed while it was being published; "
                "nothing was written but the fence; publish again"
            )
        known = bases(settings.lake, session)  # before the bars: these hold no less
        drift = DriftRecorder.of(settings, desk.store, session)
        request = PublicationRequest(
            session, who, words, time.time_ns(), settings.seal_delay_s,
            symbols=_dirty_symbols(desk, known, past) if options.dirty_only else None,
            raw_version=max((one.raw_version for one in known), default=-1),
            before_write=drift.record_round,
        )  # fmt: skip
        outcome = publish(settings.lake, desk.store, request, report)
        drift.finish(outcome.rev)
        rows = publish_indicators(
            settings.lake, desk.store, venues()[session.venue], session, outcome.last_rev
        )
        outcome = replace(outcome, indicators=rows)
        desk.seal(outcome, who, words, begins=options.restarts_boundary)
        settle(settings.lake, session, known)
    return outcome


def revert_once(
    settings: Settings,
    session: Session,
    rev: int,
    who: str,
    reason: str,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Published:
    """Serve an older rev of a session again, under a new rev of its own.

    Asks no gate: that rev was published before. Safe to repeat. ConfigError where there was no such
    rev; VerificationError, and nothing is written, when it cannot be put together exactly.
    """
    with _open_publication(settings, session, report) as desk:
        wanted = reconstruct(settings.lake, desk.store, session, rev)
        desk.raise_fence(report)
        words = f"revert to rev {rev}: {reason}"
        drift = DriftRecorder.of(settings, desk.store, session, Cause.REVERT)
        request = PublicationRequest(
            session, who, words, wanted.publication.as_of_ns, settings.seal_delay_s,
            restores=rev, raw_version=wanted.publication.raw_version,
            before_write=drift.record_round,
        )  # fmt: skip
        outcome = publish_target(settings.lake, desk.store, wanted, request, report)
        drift.finish(outcome.rev)
        rows = restore_indicators(settings.lake, desk.store, session, rev, outcome.last_rev)
        outcome = replace(outcome, indicators=rows)
        desk.seal(outcome, who, words)
    return outcome


def final_run(venue: Venue, session: Session) -> Range:
    """Return what the publication of a session makes final, by the venue's calendar."""
    return claim_of(session, calendars.last_regular(venue, session.start_ns))


def boundary_from_ledger(venue: Venue, past: Iterable[Publication]) -> Boundary:
    """Return the boundary that publications, oldest first, have moved to where it is."""
    boundary = Boundary(venue.code)
    for one in past:
        boundary = boundary.sealed(final_run(venue, calendars.session(venue, one.session)))
    return boundary


def ledger_reason(
    reason: str, options: PublishOptions, past: list[Publication], session: Session
) -> str:
    """Return what the ledger says about a publication; ConfigError where it may not be one."""
    held = revert_in_force(past)
    words = reason if options.gated else f"{WITHOUT_GATE}: {reason}"
    if held is None:
        return words
    if not options.supersedes:
        raise ConfigError(
            f"{session.venue} {session.date} is held at rev {held.restores} by {held.who} "
            f"({held.reason}); publish with a reason to supersede that"
        )
    return f"supersedes the revert to rev {held.restores}: {words}"


def symbols_recomputed_since(
    known: Iterable[Basis], last: Publication | None
) -> frozenset[str] | None:
    """Return the symbols whose bars may differ from a publication's; None for all of them."""
    if last is None:
        return None
    newer = [one.symbols for one in known if one.bars_version > last.bars_version]
    if None in newer:
        return None
    return frozenset(symbol for symbols in newer for symbol in symbols or ())


def _dirty_symbols(
    desk: "_VenuePublication", known: list[Basis], past: list[Publication]
) -> frozenset[str] | None:
    """The symbols to publish; None where rows are served that no publication recorded."""
    if not past or revert_in_force(past):
        return None
    if next_rev(desk.settings.lake, desk.store, desk.session) != past[-1].rev + 1:
        return None
    return symbols_recomputed_since(known, past[-1])


@dataclass(frozen=True, slots=True)
class _VenuePublication:
    """What a publication holds while it is at work: nobody else publishes the venue from here."""

    settings: Settings
    session: Session
    store: BarStore
    control: ControlTopic
    began: float
    """When it began, by the monotonic clock."""

    def raise_fence(self, report: Callable[[str], None]) -> None:
        """Raise the fence to the session's end, and wait until nobody writes below it: neither the
        speed layer nor a roll-up in the database, which reads the fence there.
        """
        boundary = self.boundary()
        raised = boundary.raised(self.session.end_ns)
        if raised != self.control.boundary(self.session.venue):
            self.control.announce(raised)
        told = self.store.write_points(boundary_points(raised, time.time_ns()))
        told.require_stored("fences", "nothing was published")
        wait_until_fenced(self.settings, self.session, report)
        self.store.await_rollups(ROLLUP_WAIT_S)

    def boundary(self) -> Boundary:
        """Return the venue's boundary; from the ledger where the control topic was lost."""
        venue = venues()[self.session.venue]
        found = self.control.refresh().boundary(venue.code)
        if found.fence_ns:
            return found
        past = newest_publications(self.settings.lake, venue.code)
        return boundary_from_ledger(venue, sorted(past, key=lambda one: one.published_ns))

    def seal(self, outcome: Published, who: str, words: str, *, begins: bool = False) -> None:
        """Move the boundary as far as it now reaches, and tell of it."""
        venue = venues()[self.session.venue]
        boundary = self.boundary()
        moved = boundary.sealed(final_run(venue, self.session), anew=begins)
        if moved != boundary:
            self.control.announce(moved)
        clear_late_writes(Board(self.control, self.settings.topic), self.session)
        seconds = time.monotonic() - self.began
        told = publication_points(moved, outcome, who, words, time.time_ns(), seconds=seconds)
        place = f"{venue.code} {self.session.date}"
        self.store.write_points(told).require_stored("metrics", f"{place} is final without them")


@contextmanager
def _open_publication(
    settings: Settings, session: Session, report: Callable[[str], None]
) -> Iterator[_VenuePublication]:
    """Let one process of this home publish a venue at a time: it moves the venue's boundary."""
    lake = hashlib.sha256(settings.lake.encode()).hexdigest()[:8]
    lock = settings.home / "locks" / f"publish-{session.venue}-{lake}.lock"
    with (
        exclusive(lock, wait_s=PUBLISH_WAIT_S, report=report),
        closing(open_store(settings)) as store,
        ControlTopic(settings.kafka) as control,
    ):
        yield _VenuePublication(settings, session, store, control, time.monotonic())


def verify_once(settings: Settings, session: Session) -> int:
    """Compare what is served of one session with what must be; return how many bars were compared.

    VerificationError when they differ, with the first one that does.
    """
    with closing(open_store(settings)) as store:
        compared, wrong = compare_served(store, target_bars(settings.lake, store, session))
    if wrong:
        raise VerificationError(
            f"{session.venue} {session.date}: {len(wrong):,} of {compared:,} served bars differ, "
            f"first served {wrong[0].served}, recomputed {wrong[0].recomputed}; "
            "publish the session again"
        )
    return compared
