"""The facts of a pipeline in which nothing is wrong; a test changes what it is about."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from truetape.broker.boundary import Boundary
from truetape.lake.completeness import Completeness, CountedRange
from truetape.market.ranges import Range
from truetape.pipeline.facts import (
    ArchiveFacts,
    DagDuty,
    DagFacts,
    DueSession,
    Facts,
    LastRun,
    LedgerFacts,
    Part,
    SpeedFacts,
    StoreFacts,
    VenueFacts,
)
from truetape.pipeline.offsets import Partition

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""A Tuesday before the open; Monday's session has been final since the night."""
SPEED = SpeedFacts("healthy", "fresh", "started", "ann", "open", 0.4, 0, 100.0, "pid 1", 1.0)
TUESDAY = DueSession(
    date(2026, 11, 24),
    datetime(2026, 11, 25, 1, 15, tzinfo=UTC),
    datetime(2026, 11, 25, 2, 15, tzinfo=UTC),
)
XNYS = VenueFacts(
    "XNYS",
    "New York Stock Exchange",
    True,
    Boundary("XNYS", 1, 1),
    date(2026, 11, 20),
    date(2026, 11, 23),
    (),
    TUESDAY,
)
DAGS = tuple(
    DagFacts(
        DagDuty(dag, part, venue),
        last=LastRun(f"scheduled__{dag}", False, NOW - timedelta(minutes=3)),
        next=NOW + timedelta(minutes=2),
    )
    for dag, part, venue in (
        ("speed_layer", Part.SUPERVISION, ""),
        ("archive_trades", Part.ARCHIVE, ""),
        ("batch_recompute_xnys", Part.SESSIONS, "XNYS"),
        ("data_quality", Part.CHECKS, ""),
    )
)


def partition(counted: int = 10, first: int = 0, end: int = 10) -> Partition:
    """Return a partition of which `counted` records are archived; Kafka has `first` to `end`."""
    ranges = (CountedRange(Range(0, counted), counted, counted, 0, 1_795_520_700_000),)
    part = Completeness("trades", 0, ranges if counted else (), ())
    return Partition(Range(first, end), counted, part)


SOUND = Facts(
    NOW,
    SPEED,
    (XNYS,),
    LedgerFacts((), ()),
    StoreFacts("InfluxDB, live", 3),
    ArchiveFacts((partition(),)),
    (),
    DAGS,
)


def with_dag(dag: str, **changes: object) -> Facts:
    """Return the sound facts with one DAG changed."""
    dags = tuple(
        replace(facts, **changes) if facts.duty.dag == dag else facts  # type: ignore[arg-type]
        for facts in DAGS
    )
    return replace(SOUND, dags=dags)
