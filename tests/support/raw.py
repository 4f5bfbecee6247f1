"""Records put into a lake's `raw` as the archive does, without Kafka."""

from collections.abc import Iterable

import pyarrow as pa

from truetape.batch.raw_rows import all_contracts, raw_rows
from truetape.feeds.decoder import Limits
from truetape.feeds.records import Record
from truetape.kernel.columns import RECORDS
from truetape.lake.delta import ensure_table, open_table
from truetape.lake.tables import Table


def put_records(
    lake: str,
    records: Iterable[Record],
    *,
    partition: int = 0,
    first: int = 0,
    stamp_ms: int | None = None,
) -> None:
    """Append records to `raw` as one partition of Kafka, from offset `first`.

    `stamp_ms`: Kafka's stamp of all of them, by default when each was received.
    """
    rows = [
        {
            "topic": "trades",
            "partition": partition,
            "offset": offset,
            "record_ms": (one.received_ns or 0) // 1_000_000 if stamp_ms is None else stamp_ms,
            "key": one.key,
            "value": one.payload,
            "feed": one.feed,
            "received_ns": one.received_ns,
        }
        for offset, one in enumerate(records, first)
    ]
    put_table(lake, pa.Table.from_pylist(rows, schema=RECORDS))


def put_table(lake: str, records: pa.Table) -> None:
    """Append records with the columns of `kernel.columns.RECORDS` to `raw`."""
    ensure_table(lake, Table.RAW)
    rows = raw_rows(records, all_contracts(), Limits())
    open_table(lake, Table.RAW).append([rows], "test", "put by a test")
