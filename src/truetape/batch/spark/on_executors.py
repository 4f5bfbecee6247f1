"""What executors run: the kernel, on Arrow batches. Starts nothing, reads no file.

Executors import this module from the package that the driver ships. It must import nothing but
truetape, the standard library, and the packages that `executors.PACKAGES` names.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa

from truetape.batch.raw_rows import Contracts, raw_rows
from truetape.batch.recompute import Compute, Result
from truetape.batch.symbol_groups import by_symbol
from truetape.feeds.decoder import Limits
from truetape.kernel.columns import RECORDS
from truetape.lake import deliveries as session_deliveries
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.delta import TablePart, new_files
from truetape.lake.tables import Table
from truetape.market.amendments import TradeName

if TYPE_CHECKING:
    from pyspark import Broadcast

Batches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""A function for `mapInArrow`."""
GroupBytes = tuple[int, bytes]
"""The number of a group of symbols, and deliveries of it in the bytes of Arrow's stream format."""
FILES = "path string, partition map<string,string>, size bigint, rows bigint, statistics string"
"""Files that a task wrote, as `DataFile`."""
_FILES = pa.schema(
    [
        ("path", pa.string()), ("partition", pa.map_(pa.string(), pa.string())),
        ("size", pa.int64()), ("rows", pa.int64()), ("statistics", pa.string()),
    ]
)  # fmt: skip


def archiving(contracts: "Broadcast[Contracts]", limits: Limits, lake: str) -> Batches:
    """Return the function that writes records as rows of `raw` into new files; it returns `FILES`.

    Executors have no contracts. Each of their processes gets the same objects for all its tasks:
    the kernel keeps a query for each contract.
    """

    def archived(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with new_files(lake, Table.RAW) as writer:
            for batch in batches:
                writer.write(raw_rows(records_of(batch), contracts.value, limits))
            files = list(map(asdict, writer.finish()))
        yield pa.RecordBatch.from_pylist(files, schema=_FILES)

    return archived


def read_groups(
    part: TablePart, *, deliveries: SessionDeliveries, count: int
) -> Iterator[GroupBytes]:
    """Read the session's own trades in a part of `raw`, divided into groups of symbols."""
    yield from grouped(deliveries.trades_of(part), count)


def first_receipts(
    part: TablePart, *, deliveries: SessionDeliveries, names: pa.Table
) -> Mapping[TradeName, int]:
    """Return when the first trade in a part of each of these names was received."""
    return session_deliveries.first_receipts(deliveries.trades_of(part), names)


def compute_group(tables: Iterable[GroupBytes], *, compute: Compute[Result]) -> Iterator[Result]:
    """Call a function on all deliveries of a group, if there are any."""
    read = [pa.ipc.open_stream(bytes_).read_all() for _, bytes_ in tables]
    if read:
        yield compute(pa.concat_tables(read).combine_chunks())


def grouped(table: pa.Table, count: int) -> Iterator[GroupBytes]:
    """Divide deliveries into groups of symbols; those without rows are left out."""
    for number, rows in enumerate(by_symbol(table, count)):
        if rows.num_rows:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as stream:
                stream.write_table(rows)
            yield number, sink.getvalue().to_pybytes()


def keep_loaded() -> None:
    """Exempt all that is loaded now from this process's garbage collections; once a process.

    PySpark collects after each task. With the kernel and its plans that takes 40 ms, which the next
    task of a stream waits for.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def records_of(batch: pa.RecordBatch) -> pa.Table:
    """Return the rows of `kafka_source.from_kafka` as `kernel.columns.RECORDS`."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["day"] = pa.nulls(batch.num_rows, RECORDS.field("day").type)
    return pa.table(columns).select(RECORDS.names).cast(RECORDS)
