"""Recompute on Spark: reads and groups by symbol; executors run the kernel.

Writes the tables that `batch.local.recompute` writes. Does not publish.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from truetape.batch.recompute import AsOfSession, Recomputed, RecomputeRules
from truetape.batch.spark.lake import BARS, TRADES, Lake
from truetape.batch.spark.on_executors import folding, settling
from truetape.kernel.columns import NAME
from truetape.kernel.events import names_of
from truetape.lake import bars_lineage
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.events import RawEvents, session_bounds
from truetape.lake.tables import Table
from truetape.market.bars import Bar
from truetape.market.canonical import TradeName
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_EVENTS = 250_000
"""About how many events an executor's process settles and folds at once."""
_RECORD = ("topic", "partition", "offset", "feed")


def recompute(
    spark: SparkSession,
    lake: Lake,
    session: Session,
    rules: RecomputeRules,
    symbols: Iterable[str] | None = None,
) -> Recomputed:
    """Recompute a session's rows of `trades` and `bars` from the newest `raw`, and replace them.

    `symbols` restricts it to these: no bar depends on a trade of another symbol. Events that are
    archived for the session after `raw` was read are marked dirty.
    """
    names = None if symbols is None else tuple(sorted(set(symbols)))
    bars_lineage.watch(lake.root, session)
    raw = bars_lineage.current_raw(lake.root)
    deliveries = SessionDeliveries(RawEvents(lake.root, raw[1]), session, names)
    lake.replace(_trades(spark, deliveries, rules), Table.TRADES, session, names)
    trades = _of_session(lake.read(spark, Table.TRADES), session)
    own = trades if names is None else trades.where(F.col("symbol").isin(*names))
    lake.replace(_bars(own, deliveries, rules), Table.BARS, session, names)
    bars_lineage.record_basis(lake.root, session, raw, names)
    return _summary(trades, _of_session(lake.read(spark, Table.BARS), session), session)


def recompute_as_of(
    spark: SparkSession,
    lake: Lake,
    session: Session,
    rules: RecomputeRules,
    as_of_ns: int,
    *,
    translated: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> AsOfSession:
    """Recompute a session from the events received at or before an instant. Writes nothing.

    Inside of `translated` the bars are read: what Spark raises there becomes an error of truetape.
    """
    version = bars_lineage.current_raw(lake.root)[1]
    deliveries = SessionDeliveries(RawEvents(lake.root, version), session, as_of_ns=as_of_ns)
    trades = _trades(spark, deliveries, rules).persist()
    bars = _bars(trades, deliveries, rules).persist()
    served = bars.where("served")
    return AsOfSession(_summary(trades, bars, session), lambda: _read_bars(served, translated))


def _trades(spark: SparkSession, deliveries: SessionDeliveries, rules: RecomputeRules) -> DataFrame:
    """Return the rows of `trades`."""
    found = _deliveries(spark, deliveries)
    settled = settling(deliveries.session, rules)
    return found.groupBy(_group(deliveries)).applyInArrow(settled, TRADES)


def _bars(trades: DataFrame, deliveries: SessionDeliveries, rules: RecomputeRules) -> DataFrame:
    """Return the rows of `bars` for rows of `trades`."""
    folded = folding(deliveries.session, rules)
    return trades.groupBy(_group(deliveries)).applyInArrow(folded, BARS)


def _group(deliveries: SessionDeliveries) -> Column:
    """Return the number of a symbol's group."""
    groups = 1 + deliveries.expected() // GROUP_EVENTS
    return F.pmod(F.hash("symbol"), F.lit(groups)).alias("group")


def _deliveries(spark: SparkSession, deliveries: SessionDeliveries) -> DataFrame:
    """Return what `SessionDeliveries.tables` yields. Executors read the session's own trades, the
    driver the few amendments and the trades of other sessions.
    """
    trades = _own_trades(spark, deliveries)
    amendments = deliveries.amendments
    if not amendments.num_rows:
        return trades
    firsts = _first_receipts(spark, trades, names_of(amendments))
    for table in (amendments, *deliveries.others(firsts)):
        columns = [F.col(field.name).cast(field.dataType) for field in trades.schema]
        trades = trades.unionByName(_frame(spark, table).select(columns))
    return trades


def _own_trades(spark: SparkSession, deliveries: SessionDeliveries) -> DataFrame:
    session, raw = deliveries.session, deliveries.raw
    start, last = session_bounds(session)
    records = Lake(raw.lake).read(spark, Table.RAW, version=raw.version)
    near = (F.col("last_event_ns") >= start) & (F.col("first_event_ns") <= last)
    events = records.where(near).select(*_RECORD, F.explode("events").alias("event"))
    wanted = (F.col("kind") == "trade") & (F.col("venue") == session.venue)
    wanted &= F.col("event_ns").between(start, last)
    if deliveries.symbols is not None:
        wanted &= F.col("symbol").isin(*deliveries.symbols)
    if deliveries.as_of_ns is not None:
        wanted &= F.col("received_ns") <= deliveries.as_of_ns
    return events.select(*_RECORD, "event.*").where(wanted)


def _first_receipts(
    spark: SparkSession, trades: DataFrame, names: "pa.Table"
) -> Mapping[TradeName, int]:
    """Return when the first trade of each of these names was received."""
    named = trades.join(F.broadcast(_frame(spark, names)), list(NAME), "leftsemi")
    first = named.groupBy(*NAME).agg(F.min("received_ns").alias("earliest")).collect()
    return {(row.feed, row.venue, row.symbol, row.id): row.earliest for row in first}


def _frame(spark: SparkSession, table: "pa.Table") -> DataFrame:
    return spark.createDataFrame(table, from_arrow_schema(table.schema))


def _of_session(table: DataFrame, session: Session) -> DataFrame:
    """Return the rows of one session of a partitioned table."""
    return table.where(
        (F.col("venue") == session.venue) & (F.col("session") == F.lit(session.date))
    )


def _summary(trades: DataFrame, bars: DataFrame, session: Session) -> Recomputed:
    """Count a session's trades and served bars."""
    row = trades.agg(
        F.count("*").alias("trades"),
        *[
            F.coalesce(F.sum(F.col(flag).cast("int")), F.lit(0)).alias(flag)
            for flag in ("duplicate", "cancelled", "corrected")
        ],
        F.coalesce(F.sum((~F.col("known")).cast("int")), F.lit(0)).alias("unknown"),
    ).collect()[0]
    counts = bars.where("served").groupBy("resolution").count().collect()
    return Recomputed(
        session,
        row.trades,
        row.duplicate,
        row.cancelled,
        row.corrected,
        row.unknown,
        {item.resolution: item["count"] for item in counts},
    )


def _read_bars(
    bars: DataFrame, translated: Callable[[], AbstractContextManager[None]]
) -> Iterator[Bar]:
    """Yield bars by symbol, resolution and start."""
    ordered = bars.orderBy("symbol", "resolution", "start_ns")
    with translated():
        for row in ordered.toLocalIterator():
            yield Bar(
                row.symbol, row.venue, Resolution(row.resolution), row.start_ns,
                row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades,
            )  # fmt: skip
