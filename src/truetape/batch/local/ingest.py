"""Ingest in this process: Kafka by kafka-python, the kernel, one new file a partition."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from truetape.batch.ingest_plan import IngestPlan
from truetape.batch.local.workers import results_of
from truetape.batch.raw_rows import all_contracts, raw_rows
from truetape.broker.record_reader import read_records
from truetape.feeds.decoder import Limits
from truetape.host.settings import Settings
from truetape.lake.data_files import DataFile
from truetape.lake.delta import new_files
from truetape.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa

PART_RECORDS = 50_000
"""Most records that a thread decodes at once, which bounds the memory of it."""


def archived_files(settings: Settings, plan: IngestPlan) -> list[DataFile]:
    """Write the records of a plan into new files of `raw`; see `batch.ingest.ingest`."""
    records = read_records(settings.kafka, plan.topic, plan.offsets, plan.logs)
    with new_files(settings.lake, Table.RAW) as writer:
        for rows in decoded(records, Limits.of(settings)):
            writer.write(rows)
        return writer.finish()


def decoded(tables: "Iterable[pa.Table]", limits: Limits) -> "Iterator[pa.Table]":
    """Yield the rows of `raw` for tables of records, in their order."""
    decode = partial(raw_rows, contracts=all_contracts(), limits=limits)
    return results_of(decode, _parts(tables))


def _parts(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    for table in tables:
        for start in range(0, table.num_rows, PART_RECORDS):
            yield table.slice(start, PART_RECORDS)
