"""Ingest: appends the records at given offsets to `raw`, once, in one commit.

Archive and backfill differ only in which offsets they want. A commit is a transaction of Delta with
a name and a number: of two writers with the same plan only one can commit it. So there is no
checkpoint that could be lost.
"""

from collections.abc import Callable, Iterator, Mapping

from truetape.batch.ingest_plan import IngestPlan
from truetape.broker.offsets import available_offsets
from truetape.host.settings import Settings
from truetape.lake.coverage import OffsetCount, count_offsets, last_count
from truetape.lake.delta import ensure_table, open_table
from truetape.lake.record_identity import adopt_topic
from truetape.lake.tables import Table
from truetape.market.ranges import Range, Ranges

COMMIT_RECORDS = 1_000_000
"""Most records of one commit of the archive."""


def ingest(settings: Settings, plan: IngestPlan) -> None:
    """Append the records of a plan in one commit, on the engine of the settings.

    Call it under `raw_lock`. Raise TransientError if another writer has committed records of the
    topic since, or if Kafka does not answer; nothing was written then.
    """
    if settings.batch_engine == "local":
        from truetape.batch.local.ingest import archived_files
    else:
        from truetape.batch.spark.ingest import archived_files
    table = open_table(settings.lake, Table.RAW, plan.raw_version)
    table.append_files(archived_files(settings, plan), plan.transaction, plan.note)


def archive(settings: Settings, report: Callable[[str], None] = lambda _: None) -> None:
    """Append every record that Kafka has behind the last one of `raw`. Call it under `raw_lock`.

    Safe to repeat and to kill at any moment. Passes over records that Kafka has deleted; the counts
    then have a hole. Raise ConfigError if Kafka has given offsets that `raw` has to other records.
    """
    ensure_table(settings.lake, Table.RAW)
    generations = adopt_topic(settings)
    known = last_count(settings.lake, settings.topic)
    counted = count_offsets(settings.lake, settings.topic, known)
    kafka = available_offsets(settings.kafka, settings.topic, committed_only=True)
    due = due_offsets(counted, kafka)
    total, done = sum(ranges.size for ranges in due.values()), 0
    for offsets in portions(due, COMMIT_RECORDS):
        ingest(settings, IngestPlan(offsets, generations, counted.raw_version, "archive"))
        counted = count_offsets(settings.lake, settings.topic, counted)
        done += sum(ranges.size for ranges in offsets.values())
        report(f"archived {done:,} of {total:,} records")


def due_offsets(counted: OffsetCount, kafka: Mapping[int, Range]) -> dict[int, Ranges]:
    """Return the offsets that the archive reads next: those behind the last one in `raw`."""
    due = {
        part: Ranges.between(max(counted.ends.get(part, 0), available.start), available.end)
        for part, available in kafka.items()
    }
    return {part: ranges for part, ranges in due.items() if ranges}


def portions(offsets: Mapping[int, Ranges], size: int) -> Iterator[dict[int, Ranges]]:
    """Divide offsets into portions of at most `size`, each with the next ones of every partition.

    Each partition's offsets are one range.
    """
    left = {part: ranges.parts[0] for part, ranges in offsets.items()}
    while left:
        share = max(1, size // len(left))
        taken = {
            part: Range(span.start, min(span.end, span.start + share))
            for part, span in left.items()
        }
        yield {part: Ranges([span]) for part, span in taken.items()}
        left = {
            part: Range(taken[part].end, span.end)
            for part, span in left.items()
            if taken[part].end < span.end
        }
