"""Canonical trades in Spark: the reference rules of `market.canonical` over a session's events.

Duplicates are found by Spark. Cancels and corrections are few, so the trades that they name go to
the driver and through the reference itself: one rule, not two.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from truetape.batch.fold import total_order
from truetape.errors import ConfigError
from truetape.market import canonical as reference
from truetape.market.sessions import Venue
from truetape.market.trades import Cancel, Correction, Event, Position, Trade

POSITION = ("topic", "partition", "offset", "index")
MAX_AMENDMENTS = 200_000
"""Most cancels and corrections a recompute takes to the driver: about 200 MB."""

_VERDICT = (
    "topic string, partition int, offset bigint, index int, cancelled boolean, corrected boolean, "
    "new_price decimal(18,9), new_size decimal(18,8), new_conditions array<string>"
)


def canonical(events: DataFrame, venues: Mapping[str, Venue]) -> DataFrame:
    """Return every trade with the values in force, `duplicate`, `cancelled`, `corrected` and
    `ordinal`.

    `events` holds one row an event, in the columns of `feeds.spark_decoder.EVENT` plus `feed` and
    the position. `ordinal` numbers a symbol's trades from 1 in the total order (`Trade.order`), so
    that bars need no wider sort key. Raises ConfigError above `MAX_AMENDMENTS` cancels and
    corrections.
    """
    dated = events.withColumn("session", session_date(venues, F.col("venue"), F.col("event_ns")))
    trades = dated.where("kind = 'trade'").drop("kind").repartition("venue", "symbol")
    arrival = [F.col(name) for name in ("received_ns", *POSITION)]
    delivery = Window.partitionBy("venue", "symbol", "feed", "session", "id").orderBy(*arrival)
    repeated = F.col("id").isNotNull() & (F.row_number().over(delivery) > 1)
    marked = trades.withColumn("duplicate", repeated)
    amended = _amend(marked, events, venues)
    in_order = Window.partitionBy("venue", "symbol").orderBy(total_order())
    return amended.withColumn("ordinal", F.row_number().over(in_order).cast("bigint"))


def session_date(venues: Mapping[str, Venue], venue: Column, instant_ns: Column) -> Column:
    """Return the session date of an instant: the date on the wall clock of the event's venue."""
    instant = F.timestamp_seconds(F.floor(instant_ns / 1_000_000_000).cast("bigint"))
    by_zone: dict[str, list[str]] = {}
    for code, known in venues.items():
        by_zone.setdefault(known.zone, []).append(code)
    chosen = F.to_date(instant)
    for zone, codes in sorted(by_zone.items()):
        if zone != "UTC":
            local = F.to_date(F.from_utc_timestamp(instant, zone))
            chosen = F.when(venue.isin(codes), local).otherwise(chosen)
    return chosen


def _amend(trades: DataFrame, events: DataFrame, venues: Mapping[str, Venue]) -> DataFrame:
    amendments = events.where("kind <> 'trade'").limit(MAX_AMENDMENTS + 1).collect()
    if len(amendments) > MAX_AMENDMENTS:
        raise ConfigError(
            f"more than {MAX_AMENDMENTS} cancels and corrections in one session; "
            "recompute it symbol by symbol"
        )
    verdicts = _verdicts(trades, [_event(row) for row in amendments], venues) if amendments else []
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
    trades: DataFrame, amendments: list[Event], venues: Mapping[str, Venue]
) -> list[tuple[object, ...]]:
    names = {(item.feed, item.venue, item.symbol, item.id) for item in amendments}
    keys = ["feed", "venue", "symbol", "id"]
    named = trades.sparkSession.createDataFrame(
        sorted(names), "feed string, venue string, symbol string, id string"
    )
    deliveries = trades.where("not duplicate").join(F.broadcast(named), keys, "leftsemi").collect()
    outcome = reference.canonical([*map(_event, deliveries), *amendments], venues)
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


def _place(position: Position) -> tuple[str, int, int, int]:
    return position.topic, position.partition, position.offset, position.index


def _event(row: Row) -> Event:
    position = Position(row.topic, row.partition, row.offset, row.index)
    kind = row.kind if "kind" in row else "trade"
    match kind:
        case "trade":
            return Trade(
                row.feed, row.venue, row.symbol, row.id, row.sequence, row.event_ns, row.received_ns,
                row.price, row.size, tuple(row.conditions), row.tape, row.exchange, position,
            )  # fmt: skip
        case "cancel":
            return Cancel(
                row.feed, row.venue, row.symbol, row.id, row.event_ns, row.received_ns, position
            )
        case _:
            conditions = None if row.conditions is None else tuple(row.conditions)
            return Correction(
                row.feed, row.venue, row.symbol, row.id, row.event_ns, row.received_ns,
                row.price, row.size, conditions, position,
            )  # fmt: skip
