"""Ingest in this process: Kafka by kafka-python, the kernel, one commit of delta-rs."""

from truetape.batch.ingest_plan import IngestPlan
from truetape.batch.raw_rows import all_contracts, raw_rows
from truetape.broker.record_reader import read_records
from truetape.feeds.decoder import Limits
from truetape.host.settings import Settings
from truetape.lake.delta import open_table
from truetape.lake.tables import Table


def append(settings: Settings, plan: IngestPlan) -> None:
    """Append the records of a plan; see `batch.ingest.ingest`."""
    contracts, limits = all_contracts(), Limits.of(settings)
    tables = (
        raw_rows(records, contracts, limits)
        for records in read_records(settings.kafka, plan.topic, plan.offsets, plan.logs)
    )
    table = open_table(settings.lake, Table.RAW, plan.raw_version)
    table.append(tables, plan.transaction, plan.note)
