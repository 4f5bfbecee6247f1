"""Reads the records that a backfill plan would ingest, and counts what they contain.

Writes nothing into the lake: their events wait in a file that is gone afterwards.
"""

import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from truetape.batch.affected_sessions import Affected, affected_sessions
from truetape.batch.backfill_plan import AffectedSession, OffsetPlan, PlanContents
from truetape.batch.local.ingest import decoded
from truetape.broker.record_reader import read_records
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.events import RECORD, RawEvents, event_rows
from truetape.lake.generations import Generations
from truetape.lake.schemas import RAW
from truetape.market.sessions import Venue

if TYPE_CHECKING:
    import pyarrow as pa

MAX_AFFECTED = 1_000_000
"""Most pairs of session and symbol that one backfill may affect; the plan lists them."""


def read_contents(
    settings: Settings, plan: OffsetPlan, venues: Mapping[str, Venue]
) -> PlanContents:
    """Count the records, events, rejections and affected sessions of a plan.

    Raise ConfigError if Kafka has fewer records than offsets there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    logs = Generations(plan.topic, plan.generations, {}).logs(plan.to_ingest)
    records = events = rejected = 0
    with tempfile.TemporaryDirectory(prefix="truetape-backfill-") as folder:
        file = Path(folder, "events.arrow")
        with pa.ipc.new_file(str(file), _schema()) as writer:
            found = read_records(settings.kafka, plan.topic, plan.to_ingest, logs)
            for rows in decoded(found, Limits.of(settings)):
                records += rows.num_rows
                events += pc.sum(rows["accepted"]).as_py() or 0
                rejected += pc.sum(rows["rejections"]).as_py() or 0
                writer.write_table(event_rows(rows.select([*RECORD, "events"])))
        if records != plan.total("to_ingest"):
            raise ConfigError(
                f"{plan.topic} has {records:,} records at {plan.total('to_ingest'):,} offsets: it "
                "is compacted or written in transactions, so holes cannot be found; "
                'see "Holes" in docs/RUNBOOK.md'
            )
        archived = RawEvents(settings.lake)
        affected = affected_sessions(partial(_tables, file), archived, venues, MAX_AFFECTED)
    return PlanContents(records, events, rejected, _by_session(affected))


def _schema() -> "pa.Schema":
    return event_rows(RAW.empty_table().select([*RECORD, "events"])).schema


def _tables(file: Path) -> "Iterator[pa.Table]":
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _by_session(affected: Affected) -> tuple[AffectedSession, ...]:
    sessions: dict[tuple[str, date], list[str]] = {}
    for venue, day, symbol in affected.places:
        sessions.setdefault((venue, day), []).append(symbol)
    return tuple(
        AffectedSession(venue, day, tuple(symbols)) for (venue, day), symbols in sessions.items()
    )
