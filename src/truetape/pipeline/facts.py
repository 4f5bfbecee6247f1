"""What is known of the whole pipeline at one instant: the input of `judgement`. Reads nothing.

A source that could not be read is `Failed`; it is never taken for an empty one.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

from truetape.broker.boundary import Boundary
from truetape.lake.completeness import Hole
from truetape.lake.publications import Publication
from truetape.pipeline.offsets import Partition
from truetape.pipeline.repairs import DirtySession
from truetape.pipeline.status import Gap, PipelineStatus
from truetape.quality.report import Report

ARCHIVE_WITHIN = timedelta(minutes=15)
"""How long a record may wait for the archive, which runs every five minutes."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A source that could not be read, and the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class SpeedFacts:
    """The state of the speed layer, by its supervisor."""

    health: str
    reason: str
    ordered: str
    ordered_by: str
    order_reason: str
    freshness_s: float | None
    lag: int
    rows_per_s: float
    driver: str
    beat_age_s: float | None


@dataclass(frozen=True, slots=True)
class DueSession:
    """A regular session, when its recompute is due, and when it must be final."""

    day: date
    due: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """The sessions of a venue: the first and the last final one, and what is expected next.

    `missing` are the closed sessions after the boundary that are not final, oldest first. `next` is
    the session that becomes final next. Both are empty unless the venue is in TRUETAPE_VENUES
    (`is_scheduled`). `gaps` are dates before the boundary that no publication made final.
    """

    venue: str
    name: str
    is_scheduled: bool
    boundary: Boundary
    first: date | None = None
    last: date | None = None
    missing: tuple[DueSession, ...] = ()
    next: DueSession | None = None
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """The offsets in Kafka and in the lake. `overdue` records wait longer than `ARCHIVE_WITHIN`."""

    partitions: tuple[Partition, ...]
    overdue: int = 0

    @property
    def holes(self) -> list[Hole]:
        """Return the offset ranges that the lake lacks."""
        return [hole for part in self.partitions for hole in part.holes]

    @property
    def awaited(self) -> int:
        """Return how many records the next archive run will add."""
        return sum(part.awaited for part in self.partitions)

    @property
    def newest_ms(self) -> int | None:
        """Return Kafka's stamp of the newest archived record, None if it is not known."""
        stamps = [part.lake.ranges[-1].last_ms for part in self.partitions if part.lake.ranges]
        return max((stamp for stamp in stamps if stamp is not None), default=None)


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """The lake's publications: dirty sessions, and the newest publication of each session."""

    dirty: tuple[DirtySession, ...]
    newest: tuple[Publication, ...]

    @property
    def held(self) -> list[Publication]:
        """Return the reverts in force."""
        return [publication for publication in self.newest if publication.restores]


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The store that readers query, and the number of its symbols that have one-minute bars."""

    name: str
    symbols: int


class Part(StrEnum):
    """What a DAG does for the served bars."""

    SUPERVISION = "supervision of the speed layer"
    ARCHIVE = "archive"
    SESSIONS = "sessions become final"
    REPAIRS = "repairs"
    CHECKS = "quality checks"
    FILLING = "nightly backfill"
    UPKEEP = "maintenance"


@dataclass(frozen=True, slots=True)
class DagDuty:
    """A DAG that the served bars depend on. `venue` is empty if it works for all venues."""

    dag: str
    part: Part
    venue: str = ""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a DAG that has ended."""

    run: str
    is_failed: bool
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class DagFacts:
    """A DAG in Airflow. `next` is when its next scheduled run starts, None without a schedule."""

    duty: DagDuty
    is_known: bool = True
    is_paused: bool = False
    last: LastRun | None = None
    next: datetime | None = None

    @property
    def page(self) -> str:
        """Return the path of its page below Airflow's root."""
        return f"dags/{quote(self.duty.dag)}" if self.is_known else "dags"

    @property
    def last_page(self) -> str:
        """Return the path of its last run's page; that of the DAG if none has ended."""
        if self.last is None:
            return self.page
        return f"{self.page}/runs/{quote(self.last.run, safe='')}"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the judgement needs. `dags` is None where no Airflow is known."""

    at: datetime
    speed: SpeedFacts | Failed
    venues: tuple[VenueFacts, ...] | Failed
    ledger: LedgerFacts | Failed
    store: StoreFacts | Failed
    archive: ArchiveFacts | Failed
    closed: tuple[Report, ...] | Failed
    dags: tuple[DagFacts, ...] | Failed | None

    def dag_of(self, part: Part) -> DagFacts | None:
        """Return the DAG of a part that has one DAG; None if Airflow was not read."""
        dags = self.dags if isinstance(self.dags, tuple) else ()
        return next((dag for dag in dags if dag.duty.part is part), None)

    @property
    def status(self) -> PipelineStatus | None:
        """Return boundaries, dirty sessions and publications; None if they could not be read."""
        if isinstance(self.venues, Failed) or isinstance(self.ledger, Failed):
            return None
        boundaries = (venue.boundary for venue in self.venues)
        published = tuple(boundary for boundary in boundaries if boundary.fence_ns)
        return PipelineStatus(published, self.ledger.dirty, self.ledger.newest)

    def of_venue(self, venue: str) -> "Facts":
        """Return the facts about one venue, and those about the whole pipeline."""
        venues, ledger, closed, dags = self.venues, self.ledger, self.closed, self.dags
        if not isinstance(venues, Failed):
            venues = tuple(entry for entry in venues if entry.venue == venue)
        if not isinstance(ledger, Failed):
            ledger = LedgerFacts(
                tuple(entry for entry in ledger.dirty if entry.venue == venue),
                tuple(entry for entry in ledger.newest if entry.venue == venue),
            )
        if not isinstance(closed, Failed):
            closed = tuple(report for report in closed if report.venue == venue)
        if isinstance(dags, tuple):
            dags = tuple(dag for dag in dags if dag.duty.venue in ("", venue))
        return replace(self, venues=venues, ledger=ledger, closed=closed, dags=dags)
