"""The lock, fence and boundary of a venue while one publication of it runs.

Writes no bars: `pipeline.publish` does, between `raise_fence` and `finish`.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from truetape.broker.boundary import Boundary, published_range
from truetape.broker.control_topic import ControlTopic
from truetape.host import calendars
from truetape.host.locks import exclusive
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import Publication, newest_publications
from truetape.market.ranges import Range
from truetape.market.sessions import Session, Venue
from truetape.pipeline.publish_lock import publish_lock
from truetape.publish.events import boundary_points, publication_points
from truetape.publish.publication import Published
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore
from truetape.speed.control_records import ControlRecords
from truetape.speed.fence import clear_late_writes, wait_until_fenced

ROLLUP_WAIT_S = 120.0
PUBLISH_WAIT_S = 1_800.0
"""How long a publication waits for another one of the same venue."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class VenuePublication:
    """A running publication; no other one writes the venue's bars meanwhile.

    `check` raises TransientError once another one may; the store calls it before each write.
    """

    settings: Settings
    session: Session
    store: BarStore
    control: ControlTopic
    started_s: float
    """When it started, by the monotonic clock."""
    check: Callable[[], None]

    def raise_fence(self, report: Report) -> None:
        """Raise the fence to the session's end; wait until nothing writes below it.

        Both the speed layer and the database's roll-ups write below it; the roll-ups read the fence
        in the store.
        """
        raised = self.boundary().raised(self.session.end_ns)
        if raised != self.control.boundary(self.session.venue):
            self.control.announce(raised)
        written = self.store.write_points(boundary_points(raised, time.time_ns()))
        written.require_stored("fences", "nothing was published")
        wait_until_fenced(self.settings, self.session, report)
        self.store.await_rollups(ROLLUP_WAIT_S)

    def boundary(self) -> Boundary:
        """Return the venue's boundary; from the ledger if the control topic was lost."""
        venue = venues()[self.session.venue]
        boundary = self.control.refresh().boundary(venue.code)
        if boundary.fence_ns:
            return boundary
        past = newest_publications(self.settings.lake, venue.code)
        return boundary_from_ledger(venue, sorted(past, key=lambda item: item.published_ns))

    def finish(
        self, outcome: Published, who: str, reason: str, *, restarts_boundary: bool = False
    ) -> None:
        """Move the boundary as far as it now reaches, and write the publication's points."""
        self.check()
        venue = venues()[self.session.venue]
        boundary = self.boundary()
        moved = boundary.sealed(final_run(venue, self.session), restart=restarts_boundary)
        if moved != boundary:
            self.control.announce(moved)
        clear_late_writes(ControlRecords(self.control, self.settings.topic), self.session)
        seconds = time.monotonic() - self.started_s
        points = publication_points(moved, outcome, who, reason, time.time_ns(), seconds=seconds)
        label = f"{venue.code} {self.session.date}"
        self.store.write_points(points).require_stored("metrics", f"{label} is final without them")


@contextmanager
def open_publication(
    settings: Settings, session: Session, report: Report
) -> Iterator[VenuePublication]:
    """Open store and control topic under the locks of the venue, whose boundary this moves.

    A file locks the venue for this home. Several homes can write to one InfluxDB, so there the lock
    in Kafka is needed too; an embedded store belongs to its home.
    """
    lock_file = settings.home / "locks" / f"publish-{session.venue}.lock"
    with ExitStack() as stack:
        stack.enter_context(exclusive(lock_file, wait_s=PUBLISH_WAIT_S, report=report))
        check: Callable[[], None] = _unchecked
        if settings.store != "embedded":
            lock = publish_lock(settings, session, wait_s=PUBLISH_WAIT_S, report=report)
            check = stack.enter_context(lock).check
        store = stack.enter_context(closing(open_store(settings, check)))
        control = stack.enter_context(ControlTopic(settings.kafka))
        yield VenuePublication(settings, session, store, control, time.monotonic(), check)


def _unchecked() -> None:
    """Check nothing: the lock file cannot be lost."""


def final_run(venue: Venue, session: Session) -> Range:
    """Return the range of time that the publication of a session makes final."""
    return published_range(session, calendars.last_regular(venue, session.start_ns))


def boundary_from_ledger(venue: Venue, past: Iterable[Publication]) -> Boundary:
    """Return the boundary that results from publications, given oldest first."""
    boundary = Boundary(venue.code)
    for publication in past:
        session = calendars.session(venue, publication.session)
        boundary = boundary.sealed(final_run(venue, session))
    return boundary
