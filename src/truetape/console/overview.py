"""The overview page: are the served bars complete, and if not, what is wrong where?

Changes nothing. `gather` reads every source once and marks those that failed; `concerns` judges
what was read, without I/O.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from truetape.broker.clients import require_listener
from truetape.console.offsets import Partition, partitions
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.completeness import Hole
from truetape.lake.publications import Publication, newest_publications
from truetape.market.resolution import Resolution
from truetape.pipeline import status as serving
from truetape.pipeline.repairs import RepairState, dirty_sessions
from truetape.quality import report as reports
from truetape.quality.report import Report, ReportKind
from truetape.serving.backends import open_store

MAX_PUBLICATIONS = 10
SOURCES = 6
STORE_WITHIN_S = 2.0
"""The page asks the store once and waits this long; only writers retry."""
MAX_SESSIONS = 10
"""The most sessions of each venue whose newest gate report is read, newest first."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """A source that could not be read, and the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class SpeedCard:
    """The state of the speed layer, by its supervisor."""

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
    """The final range of a venue. Its gaps are dates inside that no publication made final."""

    venue: str
    name: str
    final_from_ns: int
    final_ns: int
    gaps: tuple[serving.Gap, ...]


@dataclass(frozen=True, slots=True)
class LedgerCard:
    """The lake's publications: dirty sessions, sessions held by a revert, and the newest ones."""

    dirty: tuple[str, ...]
    held: tuple[str, ...]
    publications: tuple[Publication, ...]


@dataclass(frozen=True, slots=True)
class StoreCard:
    """The store that readers query, and the number of its symbols that have one-minute bars."""

    name: str
    symbols: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page. `is_supervised` is None if Airflow could not be asked."""

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
        """Return the offset ranges that the lake lacks; none if they could not be read."""
        parts = () if isinstance(self.partitions, Failed) else self.partitions
        return [hole for part in parts for hole in part.holes]


@dataclass(frozen=True, slots=True)
class Concern:
    """A reason why the served bars are not complete."""

    text: str
    is_grave: bool


def gather(settings: Settings, is_supervised: bool | None) -> Overview:
    """Read Kafka, lake, store and reports in parallel; a source that fails becomes `Failed`."""
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


def concerns(overview: Overview) -> Iterator[Concern]:
    """Yield what is wrong, grave concerns first."""
    yield from sorted(_concerns(overview), key=lambda concern: not concern.is_grave)


def _concerns(overview: Overview) -> Iterator[Concern]:
    for name, source in (
        ("the speed layer", overview.speed),
        ("boundaries", overview.venues),
        ("publications", overview.ledger),
        ("served bars", overview.store),
        ("offsets", overview.partitions),
        ("quality reports", overview.closed),
    ):
        if isinstance(source, Failed):
            yield Concern(f"{name} cannot be read: {source.reason}", is_grave=True)
    if overview.is_supervised is False:
        yield Concern(
            "supervision is paused: a driver that dies stays dead (DAG speed_layer)", is_grave=True
        )
    if isinstance(overview.speed, SpeedCard):
        yield from _concerns_of_speed(overview.speed)
    if isinstance(overview.venues, tuple):
        yield from _concerns_of_gaps(overview.venues)
    if isinstance(overview.ledger, LedgerCard):
        yield from _concerns_of_ledger(overview.ledger)
    if isinstance(overview.partitions, tuple):
        yield from _concerns_of_holes(overview.partitions)
    for report in overview.closed if isinstance(overview.closed, tuple) else ():
        rules = ", ".join(result.rule for result in report.results if not result.passed)
        yield Concern(
            f"the gate of {report.venue} {report.session} is closed: {rules}",
            is_grave=True,
        )


def _concerns_of_speed(card: SpeedCard) -> Iterator[Concern]:
    if card.ordered == "stopped":
        yield Concern(f"the speed layer is stopped: {card.order_reason}", is_grave=False)
    elif card.health not in ("healthy", "starting"):
        yield Concern(f"the speed layer is {card.health}: {card.reason}", is_grave=True)


def _concerns_of_gaps(cards: Sequence[VenueCard]) -> Iterator[Concern]:
    for card in cards:
        if card.gaps:
            first, last = card.gaps[0][0], card.gaps[-1][1]
            yield Concern(
                f"{card.venue}: {len(card.gaps):,} gaps without publication between {first} "
                f"and {last}",
                is_grave=False,
            )


def _concerns_of_ledger(card: LedgerCard) -> Iterator[Concern]:
    for line in card.dirty:
        yield Concern(f"dirty: {line}", is_grave=False)
    for line in card.held:
        yield Concern(f"held by a revert: {line}", is_grave=False)


def _concerns_of_holes(parts: Sequence[Partition]) -> Iterator[Concern]:
    for part in parts:
        if part.is_replaced:
            yield Concern(
                f"Kafka lost records of {part.lake.topic}/{part.lake.partition} and gives their "
                "offsets to others, so nothing is archived (runbook: Offsets given out anew)",
                is_grave=True,
            )
    for recoverable, where in ((True, "Kafka still has them"), (False, "lost to retention")):
        missing = sum(part.missing(recoverable=recoverable) for part in parts)
        if missing:
            text = f"{missing:,} records are missing in the lake; {where}"
            yield Concern(text, is_grave=recoverable)


def closed_gates(settings: Settings) -> Iterator[Report]:
    """Yield the newest gate report of each recent session whose gate is closed."""
    for venue in venues():
        for day in islice(reports.sessions(settings.home, venue), MAX_SESSIONS):
            report = reports.newest(settings.home, ReportKind.GATE, venue, day)
            if report is not None and not report.is_open:
                yield report


def _or_failed(read: Callable[[], T]) -> T | Failed:
    try:
        return read()
    except TruetapeError as error:
        return Failed(str(error))


def _speed(settings: Settings) -> SpeedCard:
    from truetape.speed.supervision import status_of

    require_listener(settings.kafka)
    status = status_of(settings)
    beat, desired = status.observed.beat, status.desired
    now = datetime.now(UTC)
    # the age of a heartbeat from the future says nothing; the reason names both clocks
    age = None if beat is None or beat.is_ahead(now) else (now - beat.at).total_seconds()
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
    require_listener(settings.kafka)
    declared = venues()
    for boundary in serving.boundaries_of(settings):
        venue = declared.get(boundary.venue)
        yield VenueCard(
            boundary.venue,
            boundary.venue if venue is None else venue.name,
            boundary.final_from_ns,
            boundary.final_ns,
            () if venue is None else tuple(serving.gaps(boundary, venue)),
        )


def _ledger(settings: Settings) -> LedgerCard:
    status = serving.PipelineStatus(
        (), tuple(dirty_sessions(settings.lake)), tuple(newest_publications(settings.lake))
    )
    newest = sorted(status.newest, key=lambda published: published.published_ns, reverse=True)
    return LedgerCard(
        dirty=tuple(
            f"{session.venue} {session.day}, {len(session.symbols):,} symbols: "
            f"{session.state.value}"
            for session in status.dirty
            if session.state is not RepairState.UNPUBLISHED
        ),
        held=tuple(
            f"{revert.venue} {revert.session} at rev {revert.restores} by {revert.who}: "
            f"{revert.reason}"
            for revert in status.held
        ),
        publications=tuple(newest[:MAX_PUBLICATIONS]),
    )


def _store(settings: Settings) -> StoreCard:
    once = replace(settings, write_attempts=1, write_timeout_s=STORE_WITHIN_S)
    with closing(open_store(once)) as store:
        name = "InfluxDB" if settings.store == "influx" else settings.store
        return StoreCard(f"{name}, {settings.bucket_set}", len(store.symbols(Resolution.MINUTE)))
