"""Backfill as two single calls: plan and ingest. Each reads the present state first.

The command line and the pipeline call them. They do not make sessions final: the pipeline does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from truetape.batch.backfill_contents import read_contents
from truetape.batch.backfill_plan import (
    ArchiveState,
    BackfillPlan,
    OffsetPlan,
    PlanContents,
    plan_backfill,
)
from truetape.batch.backfill_request import BackfillRequest, ByOffsets, ByTime
from truetape.batch.dead_letters import archived_offsets, rejected_letters
from truetape.batch.dirty_marking import mark_dirty
from truetape.batch.ingest import due_offsets, ingest
from truetape.batch.ingest_plan import IngestPlan
from truetape.batch.raw_lock import raw_lock
from truetape.broker.dead_letters import send_dead_letters
from truetape.broker.offsets import available_offsets, offsets_since
from truetape.broker.topics import require_broker_stamps
from truetape.host.errors import ConfigError, OutdatedPlanError, VerificationError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.completeness import offsets_of
from truetape.lake.coverage import OffsetCount, count_offsets, last_count, record_count
from truetape.lake.delta import open_table
from truetape.lake.generations import log_name
from truetape.lake.record_identity import require_same_records
from truetape.lake.tables import Table
from truetape.market.ranges import Range


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of an ingestion, counted in `raw`; 0 records if `raw` already had them."""

    records: int
    dead_letters: int


def plan_once(settings: Settings, request: BackfillRequest) -> BackfillPlan:
    """Plan what a request would ingest. Writes nothing.

    Counts all of `raw`, reads Kafka's offsets, and reads the missing records that Kafka still has.
    Raise ConfigError if there is no `raw` yet.
    """
    plan, _ = _plan(settings, request)
    if not plan.to_ingest:
        return BackfillPlan(plan, PlanContents())
    return BackfillPlan(plan, read_contents(settings, plan, venues()))


def ingest_once(settings: Settings, backfill: BackfillPlan) -> Ingested:
    """Ingest exactly the missing records of a plan into `raw`, and send their dead letters.

    Safe to repeat and to kill at any moment. Raise OutdatedPlanError, before anything is written,
    if some of the records were archived meanwhile or left Kafka.
    Raise VerificationError if `raw` did not get as many rows as were missing.
    """
    plan = backfill.plan
    if plan.topic != settings.topic:
        raise ConfigError(f"the plan is for topic {plan.topic}, the settings say {settings.topic}")
    if not plan.to_ingest:
        return Ingested(0, 0)
    with raw_lock(settings):
        return _ingest(settings, plan)


def _ingest(settings: Settings, plan: OffsetPlan) -> Ingested:
    again = BackfillRequest(ByOffsets(plan.to_ingest), plan.request.reason)
    fresh, before = _plan(settings, again)
    due = _still_due(plan, fresh, before)
    after = before
    if due:
        note = f"backfill {plan.digest}: {plan.request.reason}"
        ingest(settings, IngestPlan(plan.to_ingest, before.generations, before.raw_version, note))
        after = count_offsets(settings.lake, plan.topic, before)
    records = after.records - before.records
    if records != due:
        raise VerificationError(
            f"backfill {plan.digest}: {due:,} rows were missing and raw got {records:,}; "
            'run "truetape archive --recount" and look for another writer'
        )
    # since the last recorded count, not since the plan: a killed ingestion has marked nothing
    recorded = last_count(settings.lake, plan.topic)
    mark_dirty(settings.lake, recorded, after, venues())
    letters = partial(rejected_letters, settings.lake)
    dead = send_dead_letters(letters, archived_offsets(after, recorded), settings)
    record_count(settings.lake, after)  # last, as in `archive_once`
    return Ingested(records, dead)


def _still_due(plan: OffsetPlan, fresh: OffsetPlan, counted: OffsetCount) -> int:
    """Return how many records must still be ingested: all of the plan's, or 0 if `raw` has them
    all. Raise OutdatedPlanError for anything between.
    """
    wanted = sum(offsets.size for offsets in plan.to_ingest.values())
    if fresh.raw_id != plan.raw_id:
        raise OutdatedPlanError(
            f"plan {plan.digest} is for a raw table that was replaced since; plan again"
        )
    archived = _archived(plan, counted)
    if archived == wanted:
        return 0
    if any(plan.generations[part] != number for part, number in fresh.generations.items()):
        raise OutdatedPlanError(
            f"plan {plan.digest} is for a log that Kafka has lost since; nothing was written, "
            "plan again"
        )
    if fresh.to_ingest == plan.to_ingest:
        return wanted
    raise OutdatedPlanError(
        f"plan {plan.digest} is outdated: of {wanted:,} records {archived:,} are archived by now "
        f"and {fresh.total('lost'):,} are lost; nothing was written, plan again"
    )


def _archived(plan: OffsetPlan, counted: OffsetCount) -> int:
    """Return how many of a plan's records `raw` has, in the logs that the plan is for."""
    held = 0
    for part, offsets in plan.to_ingest.items():
        log = log_name(plan.topic, plan.generations[part])
        held += (offsets & offsets_of(counted.logs.get(log, {}).get(part, ()))).size
    return held


def _plan(settings: Settings, request: BackfillRequest) -> tuple[OffsetPlan, OffsetCount]:
    """Plan offsets. The lake is read before Kafka, so that a record that arrives meanwhile counts
    as awaited, never as missing.
    """
    require_broker_stamps(settings.kafka, settings.topic)
    generations = require_same_records(settings)
    raw_id = open_table(settings.lake, Table.RAW).id()
    counted = count_offsets(settings.lake, settings.topic)
    kafka = available_offsets(settings.kafka, settings.topic)
    due = due_offsets(counted, kafka)
    archive = ArchiveState(raw_id, counted.ranges, due, generations.numbers)
    times = _times(settings, request, kafka)
    return plan_backfill(request, settings.topic, kafka, archive, times), counted


def _times(
    settings: Settings, request: BackfillRequest, kafka: Mapping[int, Range]
) -> dict[int, tuple[int, int]]:
    if not isinstance(request.what, ByTime):
        return {}
    firsts = offsets_since(settings.kafka, settings.topic, request.what.start_ns)
    lasts = offsets_since(settings.kafka, settings.topic, request.what.end_ns)
    return {part: (firsts[part], min(lasts[part], kafka[part].end)) for part in kafka}
