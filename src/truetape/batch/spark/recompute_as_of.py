"""A session as known at an instant: recomputes it from the events received by then.

Writes nothing to the lake.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.recompute import AsOfSession, RecomputeRules
from truetape.batch.spark.lake import Lake
from truetape.batch.spark.recompute import flagged, session_bars, session_events, summary
from truetape.lake.tables import Table
from truetape.market.bars import Bar
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session


def recompute_as_of(
    spark: SparkSession,
    lake: Lake,
    session: Session,
    rules: RecomputeRules,
    as_of_ns: int,
    *,
    translated: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> AsOfSession:
    """Recompute a session from the events received at or before an instant; see `recompute`.

    Inside of `translated` the bars are read: what Spark raises there becomes an error of truetape.
    """
    raw = received_by(lake.read(spark, Table.RAW), as_of_ns)
    deliveries, amendments = session_events(raw, session)
    trades = flagged(deliveries, amendments, session, rules).persist()
    bars = session_bars(trades, session, rules.profile).persist()
    served = bars.where("served")
    return AsOfSession(summary(trades, bars, session), lambda: _bars(served, translated))


def _bars(bars: DataFrame, translated: Callable[[], AbstractContextManager[None]]) -> Iterator[Bar]:
    ordered = bars.orderBy("symbol", "resolution", "start_ns")
    with translated():
        for row in ordered.toLocalIterator():
            yield Bar(
                row.symbol, row.venue, Resolution(row.resolution), row.start_ns,
                row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades,
            )  # fmt: skip


def received_by(raw: DataFrame, as_of_ns: int) -> DataFrame:
    """Return the records with only those of their events that were received by an instant."""
    known = F.filter("events", lambda event: event["received_ns"] <= as_of_ns)
    return raw.withColumn("events", known)
