"""Reads the facts of the pipeline from Kafka, lake, store and reports. Judges and changes nothing.

Every source is read once, all of them in parallel; one that fails becomes `Failed`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from truetape.broker.boundary import Boundary, boundary_of
from truetape.broker.clients import require_listener
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import newest_publications
from truetape.market.resolution import Resolution
from truetape.pipeline.facts import (
    ARCHIVE_WITHIN,
    ArchiveFacts,
    DagFacts,
    Facts,
    Failed,
    LedgerFacts,
    SpeedFacts,
    StoreFacts,
    VenueFacts,
)
from truetape.pipeline.finality import FinalRule, venue_facts
from truetape.pipeline.offsets import overdue_records, partitions
from truetape.pipeline.repairs import dirty_sessions
from truetape.pipeline.status import boundaries_of
from truetape.quality import report as reports
from truetape.quality.report import Report, ReportKind
from truetape.serving.backends import open_store

SOURCES = 7
STORE_WITHIN_S = 2.0
"""The store is asked once, and gets this long to answer; only writers retry."""
MAX_SESSIONS = 10
"""The most sessions of each venue whose newest gate report is read, newest first."""

DagReader = Callable[[], tuple[DagFacts, ...] | None]
"""Reads the DAGs from Airflow; None if there is no Airflow to ask."""
T = TypeVar("T")


def read_facts(settings: Settings, read_dags: DagReader) -> Facts:
    """Read the facts as they are now."""
    now = datetime.now(UTC)
    with ThreadPoolExecutor(SOURCES) as pool:
        speed = pool.submit(_or_failed, lambda: _speed(settings, now))
        final = pool.submit(_or_failed, lambda: tuple(_venues(settings, now)))
        ledger = pool.submit(_or_failed, lambda: _ledger(settings))
        store = pool.submit(_or_failed, lambda: _store(settings))
        archive = pool.submit(_or_failed, lambda: _archive(settings, now))
        closed = pool.submit(_or_failed, lambda: tuple(closed_gates(settings)))
        dags = pool.submit(_or_failed, read_dags)
    return Facts(
        now,
        speed.result(),
        final.result(),
        ledger.result(),
        store.result(),
        archive.result(),
        closed.result(),
        dags.result(),
    )


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


def _speed(settings: Settings, now: datetime) -> SpeedFacts:
    from truetape.speed.supervision import status_of

    require_listener(settings.kafka)
    status = status_of(settings)
    beat, desired = status.observed.beat, status.desired
    # the age of a heartbeat from the future says nothing; the reason names both clocks
    age = None if beat is None or beat.is_ahead(now) else (now - beat.at).total_seconds()
    return SpeedFacts(
        health=status.health.value,
        reason=status.reason,
        ordered=desired.state.value,
        ordered_by=desired.who,
        order_reason=desired.reason,
        freshness_s=None if beat is None else beat.freshness_s,
        lag=sum(status.observed.lag.values()),
        rows_per_s=0.0 if beat is None else beat.rows_per_s,
        driver="" if beat is None else str(beat.driver),
        beat_age_s=age,
    )


def _venues(settings: Settings, now: datetime) -> Iterator[VenueFacts]:
    """Yield the venues of TRUETAPE_VENUES in their order, then the others that have a boundary."""
    require_listener(settings.kafka)
    declared, rule = venues(), FinalRule.of(settings)
    boundaries = {boundary.venue: boundary for boundary in boundaries_of(settings)}
    for code in settings.venues:
        yield venue_facts(declared[code], boundary_of(boundaries, code), rule, now)
    for code in sorted(boundaries.keys() - set(settings.venues)):
        yield _unscheduled(boundaries[code], now)


def _unscheduled(boundary: Boundary, now: datetime) -> VenueFacts:
    venue = venues().get(boundary.venue)
    if venue is None:  # declared in schemas that are gone: there is no calendar to compare with
        return VenueFacts(boundary.venue, boundary.venue, False, boundary)
    return venue_facts(venue, boundary, None, now)


def _ledger(settings: Settings) -> LedgerFacts:
    return LedgerFacts(
        tuple(dirty_sessions(settings.lake)), tuple(newest_publications(settings.lake))
    )


def _archive(settings: Settings, now: datetime) -> ArchiveFacts:
    parts = tuple(partitions(settings))
    return ArchiveFacts(parts, overdue_records(settings, parts, now - ARCHIVE_WITHIN))


def _store(settings: Settings) -> StoreFacts:
    once = replace(settings, write_attempts=1, write_timeout_s=STORE_WITHIN_S)
    with closing(open_store(once)) as store:
        name = "InfluxDB" if settings.store == "influx" else settings.store
        return StoreFacts(f"{name}, {settings.bucket_set}", len(store.symbols(Resolution.MINUTE)))
