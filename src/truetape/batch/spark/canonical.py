"""Canonical trades in Spark: the reference rules of `market.canonical` over a session's events.

Duplicates are found by Spark. Cancels and corrections are few, so the trades that they name go to
the driver and through the reference itself: one rule, not two.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from truetape.batch.spark.fold import floor_div, total_order
from truetape.kernel.events import event_of
from truetape.market import canonical as reference
from truetape.market.canonical import name_of
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue
from truetape.market.trades import Amendment, Position

POSITION = ("topic", "partition", "offset", "index")

_VERDICT = (
    "topic string, partition int, offset bigint, index int, cancelled boolean, corrected boolean, "
    "new_price decimal(18,9), new_size decimal(18,8), new_conditions array<string>"
)


def canonical(
    trades: DataFrame,
    amendments: Sequence[Amendment],
    venues: Mapping[str, Venue],
    day: date | None = None,
) -> DataFrame:
    """Return every trade with the values in force, `duplicate`, `cancelled`, `corrected`,
    `ordinal`.

    `trades` has the columns of `batch.spark.decoder.EVENT` plus `feed` and the position, one row a
    delivery. `ordinal` numbers a symbol's trades from 1 in the total order (`Trade.order`), so that
    bars need no wider sort key. With `day`, only trades of that session date are returned and
    numbered.
    """
    dated = trades.withColumn("session", session_date(venues, F.col("venue"), F.col("event_ns")))
    arrival = [F.col(name) for name in ("received_ns", *POSITION)]
    delivery = Window.partitionBy("venue", "symbol", "feed", "session", "id").orderBy(*arrival)
    repeated = F.col("id").isNotNull() & (F.row_number().over(delivery) > 1)
    marked = dated.repartition("venue", "symbol").withColumn("duplicate", repeated)
    amended = _amend(marked, amendments, venues)
    if day is not None:
        amended = amended.where(F.col("session") == F.lit(day))
    in_order = Window.partitionBy("venue", "symbol").orderBy(total_order())
    return amended.withColumn("ordinal", F.row_number().over(in_order).cast("bigint"))


def session_date(venues: Mapping[str, Venue], venue: Column, instant_ns: Column) -> Column:
    """Return the session date of an instant: the date on the wall clock of the event's venue."""
    instant = F.timestamp_seconds(floor_div(instant_ns, SECOND_NS))
    by_zone: dict[str, list[str]] = {}
    for code, known in venues.items():
        by_zone.setdefault(known.zone, []).append(code)
    chosen = F.to_date(instant)
    for zone, codes in sorted(by_zone.items()):
        if zone != "UTC":
            local = F.to_date(F.from_utc_timestamp(instant, zone))
            chosen = F.when(venue.isin(codes), local).otherwise(chosen)
    return chosen


def _amend(
    trades: DataFrame, amendments: Sequence[Amendment], venues: Mapping[str, Venue]
) -> DataFrame:
    verdicts = _verdicts(trades, amendments, venues) if amendments else []
    if not verdicts:
        return trades.withColumns({"cancelled": F.lit(False), "corrected": F.lit(False)})
    table = trades.sparkSession.createDataFrame(verdicts, _VERDICT)
    joined = trades.join(F.broadcast(table), list(POSITION), "left")
    return joined.withColumns(
        {
            "cancelled": F.coalesce("cancelled", F.lit(False)),
            "corrected": F.coalesce("corrected", F.lit(False)),
            "price": F.coalesce("new_price", "price"),
            "size": F.coalesce("new_size", "size"),
            "conditions": F.coalesce("new_conditions", "conditions"),
        }
    ).drop("new_price", "new_size", "new_conditions")


def _verdicts(
    trades: DataFrame, amendments: Sequence[Amendment], venues: Mapping[str, Venue]
) -> list[tuple[object, ...]]:
    first = trades.where("not duplicate")
    deliveries = [event_of(row.asDict()) for row in named_by(first, amendments).collect()]
    outcome = reference.canonical([*deliveries, *amendments], venues)
    return [
        (
            *_place(item.trade.position),
            item.cancelled,
            item.corrected,
            item.trade.price,
            item.trade.size,
            list(item.trade.conditions),
        )
        for item in outcome.trades
        if item.cancelled or item.corrected
    ]


def named_by(trades: DataFrame, amendments: Sequence[Amendment]) -> DataFrame:
    """Return the trades whose id some amendment names."""
    names = sorted({name_of(amendment) for amendment in amendments})
    keys = "feed string, venue string, symbol string, id string"
    table = trades.sparkSession.createDataFrame(names, keys)
    return trades.join(F.broadcast(table), ["feed", "venue", "symbol", "id"], "leftsemi")


def _place(position: Position) -> tuple[str, int, int, int]:
    return position.topic, position.partition, position.offset, position.index
