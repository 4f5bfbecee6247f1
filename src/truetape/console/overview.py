"""The overview: whether what readers see is complete, and if not, what is wrong where.

`gather` asks every source once and keeps what failed as such; `concerns` judges, without I/O.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from truetape.console.offsets import Partition, partitions, require_kafka
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.completeness import Hole
from truetape.lake.publications import Publication, newest_publications
from truetape.market.resolution import Resolution
from truetape.pipeline import status as serving
from truetape.pipeline.repairs import RepairState as Repair
from truetape.pipeline.repairs import dirty_sessions
from truetape.quality import report as reports
from truetape.quality.report import Kind, Report
from truetape.serving.backends import open_store

MAX_PUBLICATIONS = 10
SOURCES = 6
STORE_WITHIN_S = 2.0
"""The page asks the store once and waits no longer; writers try again and again."""
MAX_SESSIONS = 10
"""Sessions of each venue whose newest gate report is looked at, the newest first."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """A source that could not be read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class SpeedCard:
    """The speed layer as its supervisor sees it."""

    health: str
    reason: str
    ordered: str
    order_reason: str
    freshness_s: float | None
    lag: int
    rows_per_s: float
    driver: str
    beat_age_s: float | None


@dataclass(frozen=True, slots=True)
class VenueCard:
    """Up to where a venue is final. Gaps are dates that nobody claims as final."""

    venue: str
    name: str
    final_from_ns: int
    final_ns: int
    gaps: tuple[serving.Gap, ...]


@dataclass(frozen=True, slots=True)
class LedgerCard:
    """What the lake knows of publications: dirty, held, and the last ones, newest first."""

    dirty: tuple[str, ...]
    held: tuple[str, ...]
    publications: tuple[Publication, ...]


@dataclass(frozen=True, slots=True)
class StoreCard:
    """The store that readers ask, and how many symbols have bars of a minute there."""

    name: str
    symbols: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows; `is_supervised` is None where Airflow could not be asked."""

    at: datetime
    speed: SpeedCard | Failed
    venues: tuple[VenueCard, ...] | Failed
    ledger: LedgerCard | Failed
    store: StoreCard | Failed
    partitions: tuple[Partition, ...] | Failed
    closed: tuple[Report, ...] | Failed
    is_supervised: bool | None

    @property
    def holes(self) -> list[Hole]:
        """Return what the lake lacks, as far as that is known."""
        parts = () if isinstance(self.partitions, Failed) else self.partitions
        return [hole for part in parts for hole in part.holes]


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that keeps what is served from being complete."""

    what: str
    is_grave: bool


def gather(settings: Settings, is_supervised: bool | None) -> Overview:
    """Ask Kafka, lake, store and reports at once; whatever does not answer is told as such."""
    with ThreadPoolExecutor(SOURCES) as pool:
        speed = pool.submit(_or_failed, lambda: _speed(settings))
        final = pool.submit(_or_failed, lambda: tuple(_venues(settings)))
        ledger = pool.submit(_or_failed, lambda: _ledger(settings))
        store = pool.submit(_or_failed, lambda: _store(settings))
        parts = pool.submit(_or_failed, lambda: tuple(partitions(settings)))
        closed = pool.submit(_or_failed, lambda: tuple(closed_gates(settings)))
    return Overview(
        datetime.now(UTC),
        speed.result(),
        final.result(),
        ledger.result(),
        store.result(),
        parts.result(),
        closed.result(),
        is_supervised,
    )


def concerns(found: Overview) -> Iterator[Concern]:
    """Yield what is wrong, the grave first."""
    yield from sorted(_concerns(found), key=lambda one: not one.is_grave)


def _concerns(found: Overview) -> Iterator[Concern]:
    for name, source in (
        ("the speed layer", found.speed),
        ("boundaries", found.venues),
        ("publications", found.ledger),
        ("served bars", found.store),
        ("offsets", found.partitions),
        ("quality reports", found.closed),
    ):
        if isinstance(source, Failed):
            yield Concern(f"{name} cannot be read: {source.reason}", is_grave=True)
    if found.is_supervised is False:
        yield Concern(
            "supervision is paused: a driver that dies stays dead (DAG speed_layer)", is_grave=True
        )
    if isinstance(found.speed, SpeedCard):
        yield from _concerns_of_speed(found.speed)
    if isinstance(found.venues, tuple):
        yield from _concerns_of_gaps(found.venues)
    if isinstance(found.ledger, LedgerCard):
        yield from _concerns_of_ledger(found.ledger)
    if isinstance(found.partitions, tuple):
        yield from _concerns_of_holes(found.partitions)
    for report in found.closed if isinstance(found.closed, tuple) else ():
        rules = ", ".join(one.rule for one in report.results if not one.passed)
        yield Concern(
            f"the gate of {report.venue} {report.session} is closed: {rules}",
            is_grave=True,
        )


def _concerns_of_speed(card: SpeedCard) -> Iterator[Concern]:
    if card.ordered == "stopped":
        yield Concern(f"the speed layer is stopped: {card.order_reason}", is_grave=False)
    elif card.health not in ("healthy", "starting"):
        yield Concern(f"the speed layer is {card.health}: {card.reason}", is_grave=True)


def _concerns_of_gaps(found: Sequence[VenueCard]) -> Iterator[Concern]:
    for venue in found:
        if venue.gaps:
            first, last = venue.gaps[0][0], venue.gaps[-1][1]
            yield Concern(
                f"{venue.venue}: {len(venue.gaps):,} gaps without publication between {first} "
                f"and {last}",
                is_grave=False,
            )


def _concerns_of_ledger(card: LedgerCard) -> Iterator[Concern]:
    for line in card.dirty:
        yield Concern(f"dirty: {line}", is_grave=False)
    for line in card.held:
        yield Concern(f"held by a revert: {line}", is_grave=False)


def _concerns_of_holes(found: Sequence[Partition]) -> Iterator[Concern]:
    for recoverable, words in ((True, "Kafka still has them"), (False, "lost to retention")):
        missing = sum(part.missing(recoverable=recoverable) for part in found)
        if missing:
            told = f"{missing:,} records are missing in the lake; {words}"
            yield Concern(told, is_grave=recoverable)


def closed_gates(settings: Settings) -> Iterator[Report]:
    """Yield the newest gate report of each recent session whose gate is closed."""
    for venue in venues():
        for day in islice(reports.sessions(settings.home, venue), MAX_SESSIONS):
            found = reports.newest(settings.home, Kind.GATE, venue, day)
            if found is not None and not found.is_open:
                yield found


def _or_failed(ask: Callable[[], T]) -> T | Failed:
    try:
        return ask()
    except TruetapeError as error:
        return Failed(str(error))


def _speed(settings: Settings) -> SpeedCard:
    from truetape.speed.supervision import status_of

    require_kafka(settings)
    status = status_of(settings)
    beat, desired = status.observed.beat, status.desired
    age = None if beat is None else (datetime.now(UTC) - beat.at).total_seconds()
    return SpeedCard(
        health=status.health.value,
        reason=status.reason,
        ordered=desired.state.value,
        order_reason=f"{desired.reason} ({desired.who})" if desired.who else desired.reason,
        freshness_s=None if beat is None else beat.freshness_s,
        lag=sum(status.observed.lag.values()),
        rows_per_s=0.0 if beat is None else beat.rows_per_s,
        driver="" if beat is None else str(beat.driver),
        beat_age_s=age,
    )


def _venues(settings: Settings) -> Iterator[VenueCard]:
    require_kafka(settings)
    known = venues()
    for one in serving.boundaries_of(settings):
        yield VenueCard(
            one.venue,
            known[one.venue].name if one.venue in known else one.venue,
            one.final_from_ns,
            one.final_ns,
            tuple(serving.gaps(one, known[one.venue])) if one.venue in known else (),
        )


def _ledger(settings: Settings) -> LedgerCard:
    status = serving.PipelineStatus(
        (), tuple(dirty_sessions(settings.lake)), tuple(newest_publications(settings.lake))
    )
    newest = sorted(status.newest, key=lambda one: one.published_ns, reverse=True)
    return LedgerCard(
        dirty=tuple(
            f"{one.venue} {one.day}, {len(one.symbols):,} symbols: {one.state.value}"
            for one in status.dirty
            if one.state is not Repair.UNPUBLISHED
        ),
        held=tuple(
            f"{one.venue} {one.session} at rev {one.restores} by {one.who}: {one.reason}"
            for one in status.held
        ),
        publications=tuple(newest[:MAX_PUBLICATIONS]),
    )


def _store(settings: Settings) -> StoreCard:
    once = replace(settings, write_attempts=1, write_timeout_s=STORE_WITHIN_S)
    with closing(open_store(once)) as store:
        name = "InfluxDB" if settings.store == "influx" else settings.store
        return StoreCard(f"{name}, {settings.bucket_set}", len(store.symbols(Resolution.MINUTE)))
