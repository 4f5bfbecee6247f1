"""What executors run: the kernel, on Arrow batches. Starts nothing, reads no file.

Executors import this module from the package that the driver ships. It must import nothing but
truetape, the standard library, and the packages that `executors.PACKAGES` names.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from truetape.batch.raw_rows import Contracts, raw_rows
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_rows import bar_rows, trade_rows
from truetape.feeds.decoder import Limits
from truetape.kernel.columns import RECORDS
from truetape.lake.deliveries import as_deliveries
from truetape.market.sessions import Session

if TYPE_CHECKING:
    from pyspark import Broadcast

Batches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""A function for `mapInArrow`."""
Group = Callable[[pa.Table], pa.Table]
"""A function for `applyInArrow`."""


def decoding(contracts: "Broadcast[Contracts]", limits: Limits) -> Batches:
    """Return the function from records to rows of `raw`.

    Executors have no contracts. Each of their processes gets the same objects for all its tasks:
    the kernel keeps a query for each contract.
    """

    def decoded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from raw_rows(records_of(batch), contracts.value, limits).to_batches()

    return decoded


def settling(session: Session, rules: RecomputeRules) -> Group:
    """Return the function from all deliveries of some symbols to their rows of `trades`."""

    def settled(deliveries: pa.Table) -> pa.Table:
        return trade_rows(as_deliveries(deliveries), session, rules)

    return settled


def folding(session: Session, rules: RecomputeRules) -> Group:
    """Return the function from all `trades` of some symbols to their rows of `bars`."""

    def folded(trades: pa.Table) -> pa.Table:
        return bar_rows(trades, session, rules)

    return folded


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
