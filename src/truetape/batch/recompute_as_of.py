"""A session as known at an instant: recomputes it from the events received by then.

Writes nothing to the lake.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.recompute import Recomputed, RecomputeRules
from truetape.batch.spark.lake import Lake
from truetape.batch.spark.recompute import flagged, session_bars, session_events, summary
from truetape.lake.tables import Table
from truetape.market.bars import Bar
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session


@dataclass(frozen=True, slots=True)
class AsOfSession:
    """A session's bars and counts as known at an instant."""

    counts: Recomputed
    _bars: DataFrame
    translated: Callable[[], AbstractContextManager[None]] = nullcontext
    """Inside of it `bars` reads: what Spark raises there becomes an error of truetape."""

    def bars(self) -> Iterator[Bar]:
        """Yield the bars that would have been served, by symbol, resolution and start."""
        ordered = self._bars.orderBy("symbol", "resolution", "start_ns")
        with self.translated():
            for row in ordered.toLocalIterator():
                yield Bar(
                    row.symbol, row.venue, Resolution(row.resolution), row.start_ns,
                    row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades,
                )  # fmt: skip


def recompute_as_of(
    spark: SparkSession, lake: Lake, session: Session, rules: RecomputeRules, as_of_ns: int
) -> AsOfSession:
    """Recompute a session from the events received at or before an instant; see `recompute`."""
    raw = received_by(lake.read(spark, Table.RAW), as_of_ns)
    deliveries, amendments = session_events(raw, session)
    trades = flagged(deliveries, amendments, session, rules).persist()
    bars = session_bars(trades, session, rules.profile).persist()
    return AsOfSession(summary(trades, bars, session), bars.where("served"))


def received_by(raw: DataFrame, as_of_ns: int) -> DataFrame:
    """Return the records with only those of their events that were received by an instant."""
    known = F.filter("events", lambda event: event["received_ns"] <= as_of_ns)
    return raw.withColumn("events", known)
