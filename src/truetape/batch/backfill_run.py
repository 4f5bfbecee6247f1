"""Backfill as two single calls: plan and ingest. Each reads the present state first.

The command line and the pipeline call them. They do not make sessions final: the pipeline does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from truetape.batch.archive import next_offsets, raw_lock
from truetape.batch.backfill import append_missing, read_contents, transaction_name
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
from truetape.batch.spark.errors import spark_errors
from truetape.batch.spark.lake import Lake
from truetape.batch.spark.session import spark_session
from truetape.broker.dead_letters import send_dead_letters
from truetape.broker.offsets import available_offsets, offsets_since
from truetape.broker.topics import require_broker_stamps
from truetape.host.errors import ConfigError, OutdatedPlanError, VerificationError
from truetape.host.jars import spark_jars
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
    with spark_errors(settings):
        spark = spark_session("truetape backfill plan", settings, spark_jars(settings.cache))
        return BackfillPlan(plan, read_contents(spark, settings, plan, venues()))


def ingest_once(settings: Settings, backfill: BackfillPlan) -> Ingested:
    """Ingest exactly the missing records of a plan into `raw`, and send their dead letters.

    Safe to repeat and to kill at any moment. Raise OutdatedPlanError, before anything is written,
    if some of the records were archived meanwhile or left Kafka, or if another backfill was first.
    Raise VerificationError if `raw` did not get as many rows as were missing.
    """
    plan = backfill.plan
    if plan.topic != settings.topic:
        raise ConfigError(f"the plan is for topic {plan.topic}, the settings say {settings.topic}")
    if not plan.to_ingest:
        return Ingested(0, 0)
    with raw_lock(settings), spark_errors(settings):
        return _ingest(settings, plan)


def _ingest(settings: Settings, plan: OffsetPlan) -> Ingested:
    again = BackfillRequest(ByOffsets(plan.to_ingest), plan.request.reason)
    fresh, before = _plan(settings, again)
    due = _still_due(plan, fresh, before)
    spark = spark_session("truetape backfill", settings, spark_jars(settings.cache))
    lake = Lake(settings.lake)
    after = before
    if due:
        append_missing(spark, settings, plan)
        after = count_offsets(settings.lake, plan.topic, before)
    records = after.records - before.records
    if records != due:
        raise VerificationError(
            f"backfill {plan.digest}: {due:,} rows were missing and raw got {records:,}; "
            'run "truetape archive --recount" and look for another writer'
        )
    # since the last recorded count, not since the plan: a killed ingestion has marked nothing
    recorded = last_count(settings.lake, plan.topic)
    mark_dirty(spark, lake, recorded, after, venues())
    letters = partial(rejected_letters, lake.read(spark, Table.RAW))
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
    if fresh.to_ingest == plan.to_ingest and fresh.number == plan.number:
        return wanted
    raise OutdatedPlanError(
        f"plan {plan.digest} is outdated: of {wanted:,} records {archived:,} are archived by now "
        f"and {fresh.total('lost'):,} are lost, and raw has had {fresh.number - plan.number} "
        "backfills since; nothing was written, plan again"
    )


def _archived(plan: OffsetPlan, counted: OffsetCount) -> int:
    """Return how many of a plan's records `raw` has, in the logs that the plan is for."""
    held = 0
    for part, offsets in plan.to_ingest.items():
        log = log_name(plan.topic, plan.generations[part])
        held += (offsets & offsets_of(counted.logs.get(log, {}).get(part, ()))).size
    return held


def _plan(settings: Settings, request: BackfillRequest) -> tuple[OffsetPlan, OffsetCount]:
    """Plan offsets. The order of the reads matters: the checkpoint and the lake are read before
    Kafka, so that a record that arrives meanwhile counts as awaited, never as missing.
    """
    require_broker_stamps(settings.kafka, settings.topic)
    lake = Lake(settings.lake)
    generations = require_same_records(settings)
    checkpoint = next_offsets(settings, generations.last)
    raw_id, number = _backfills(lake, settings.topic)
    counted = count_offsets(settings.lake, settings.topic)
    kafka = available_offsets(settings.kafka, settings.topic)
    due = _due(counted, kafka) if checkpoint is None else checkpoint
    archive = ArchiveState(raw_id, number, counted.ranges, due, generations.numbers)
    times = _times(settings, request, kafka)
    return plan_backfill(request, settings.topic, kafka, archive, times), counted


def _due(counted: OffsetCount, kafka: Mapping[int, Range]) -> dict[int, int]:
    """Return where an archive without a checkpoint starts; see `archive.starting_offsets`."""
    ends = {part: end for part, end in counted.ends.items() if part in kafka}
    return {part: max(end, kafka[part].start) for part, end in ends.items()}


def _times(
    settings: Settings, request: BackfillRequest, kafka: Mapping[int, Range]
) -> dict[int, tuple[int, int]]:
    if not isinstance(request.what, ByTime):
        return {}
    firsts = offsets_since(settings.kafka, settings.topic, request.what.start_ns)
    lasts = offsets_since(settings.kafka, settings.topic, request.what.end_ns)
    return {part: (firsts[part], min(lasts[part], kafka[part].end)) for part in kafka}


def _backfills(lake: Lake, topic: str) -> tuple[str, int]:
    """Return the id of `raw` and the number of the topic's last backfill, 0 before the first."""
    table = open_table(lake.root, Table.RAW)
    return table.id(), table.transaction_version(transaction_name(topic)) or 0
