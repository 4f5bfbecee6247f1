"""The streaming plan: from Kafka records to provisional 1 s and 1 m bars. Writes nothing.

Uses the same expression for bars as the batch layer (`batch.spark.fold`). Cancels and corrections
are left to the batch layer, which finds and explains the difference.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.spark import fold
from truetape.batch.spark.decoder import decode
from truetape.batch.spark.eligibility import judge
from truetape.batch.spark.kafka_source import from_kafka
from truetape.batch.spark.session_dates import session_date
from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Limits
from truetape.host.settings import Settings
from truetape.market.eligibility import Profile
from truetape.market.resolution import STREAMED
from truetape.market.sessions import Venue

BAR_KEY = ("venue", "symbol", "resolution", "start_ns")


def kafka_records(spark: SparkSession, settings: Settings) -> DataFrame:
    """Open the topic as a stream; a new checkpoint starts at the earliest record, without a gap.

    Uses no more tasks than there are cores: each task sets the decoder up in every batch.
    """
    options = {
        "kafka.bootstrap.servers": settings.kafka,
        "subscribe": settings.topic,
        "startingOffsets": "earliest",
        "includeHeaders": "true",
        "failOnDataLoss": "true",
        "kafka.isolation.level": "read_committed",
        "maxOffsetsPerTrigger": str(settings.speed_max_trades_per_batch),
    }
    records = spark.readStream.format("kafka").options(**options).load()
    return from_kafka(records.coalesce(spark.sparkContext.defaultParallelism))


def trades_of(
    records: DataFrame, contracts: Sequence[Contract], limits: Limits, venues: Mapping[str, Venue]
) -> DataFrame:
    """Decode records and select the trades; reject future-dated trades before the watermark."""
    events = decode(records, contracts, limits).select(
        "topic", "partition", "offset", "feed", F.explode("events").alias("event")
    )
    trades = events.select("topic", "partition", "offset", "feed", "event.*").where(
        "kind = 'trade'"
    )
    return trades.withColumns(
        {
            "event_time": F.timestamp_micros(fold.floor_div(F.col("event_ns"), 1_000)),
            "session": session_date(venues, F.col("venue"), F.col("event_ns")),
        }
    )


def provisional_bars(
    trades: DataFrame, profile: Profile, lateness_s: int, duplicated_feeds: Sequence[str]
) -> DataFrame:
    """Aggregate a stream (or a table) of trades into 1 s and 1 m bars, keyed by `BAR_KEY`.

    Drops trades more than `lateness_s` behind the newest trade. Drops duplicates within that time
    for the feeds that expect them. The watermark works because rows are grouped by the `window`
    column itself.
    """
    timely = trades.withWatermark("event_time", f"{lateness_s} seconds")
    unique = _without_duplicates(timely, duplicated_feeds) if duplicated_feeds else timely
    starts = F.array(
        *[
            F.struct(
                F.lit(resolution.value).alias("resolution"),
                fold.start_of(resolution, F.col("event_ns")).alias("start_ns"),
            )
            for resolution in STREAMED
        ]
    )
    placed = judge(unique, profile).withColumn("place", F.explode(starts))
    bars = placed.groupBy(
        F.window("event_time", "1 minute").alias("window"),
        "venue",
        "symbol",
        F.col("place.resolution").alias("resolution"),
        F.col("place.start_ns").alias("start_ns"),
    ).agg(*fold.tallies(fold.total_order(), mergeable=False))
    return fold.with_vwap(bars).drop("window")


def _without_duplicates(trades: DataFrame, duplicated_feeds: Sequence[str]) -> DataFrame:
    """Drop duplicates by the contract's key; a trade without an id is its own key."""
    place = F.concat_ws(":", "topic", "partition", "offset", "index")
    repeats = F.col("feed").isin(list(duplicated_feeds)) & F.col("id").isNotNull()
    keyed = trades.withColumn("delivery", F.when(repeats, F.col("id")).otherwise(place))
    key = ["feed", "venue", "symbol", "session", "delivery"]
    return keyed.dropDuplicatesWithinWatermark(key)
