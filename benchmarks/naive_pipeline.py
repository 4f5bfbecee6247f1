"""A pipeline from Kafka to bars in InfluxDB as most public projects write it, for comparison.

Plain Spark, `from_json`, a watermark, one group by window and symbol, `foreachBatch` with
`collect`, and one synchronous write a point. One resolution, no eligibility, no duplicates dropped,
doubles for prices: it does less than truetape's speed layer. Started by `freshness.py`; prints one
JSON line when it runs and one for each finished batch.
"""

import json
import sys
import time
from pathlib import Path

from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

FIELDS = ("open", "high", "low", "close", "volume", "trades")
_SCHEMA = StructType(
    [StructField(name, StringType()) for name in ("symbol", "event_time", "price", "size")]
)


def main(wanted: dict[str, str]) -> None:
    """Run until the process is killed, or the query fails."""
    spark = (
        SparkSession.builder.appName("naive pipeline")
        .master("local[*]")
        .config("spark.jars", wanted["jars"])
        .config("spark.driver.memory", wanted["memory"])
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    token = Path(wanted["token_file"]).read_text().strip()
    client = InfluxDBClient(url=wanted["influx"], token=token, org=wanted["org"])
    write_api = client.write_api(write_options=SYNCHRONOUS)

    def write(frame: DataFrame, batch: int) -> None:
        rows = frame.collect()
        for row in rows:
            point = Point("candle").tag("symbol", row.symbol).time(row.window.start)
            for name in FIELDS:
                point.field(name, row[name])
            write_api.write(bucket=wanted["bucket"], record=point)
        _say(batch=batch, acked_ns=time.time_ns(), points=len(rows))

    query = (
        bars(spark, wanted["kafka"], wanted["topic"])
        .writeStream.outputMode("update")
        .option("checkpointLocation", wanted["checkpoint"])
        .foreachBatch(write)
        .start()
    )
    _say(state="running")
    query.awaitTermination()


def bars(spark: SparkSession, kafka: str, topic: str) -> DataFrame:
    """Return the streaming 1s bars."""
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", kafka)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
    )
    trades = (
        records.select(F.from_json(F.col("value").cast("string"), _SCHEMA).alias("trade"))
        .select("trade.*")
        .withColumn("event_time", F.to_timestamp("event_time"))
        .withColumn("price", F.col("price").cast("double"))
        .withColumn("size", F.col("size").cast("double"))
    )
    return (
        trades.withWatermark("event_time", "1 minute")
        .groupBy(F.window("event_time", "1 second"), "symbol")
        .agg(
            F.first("price").alias("open"),
            F.max("price").alias("high"),
            F.min("price").alias("low"),
            F.last("price").alias("close"),
            F.sum("size").alias("volume"),
            F.count("*").alias("trades"),
        )
    )


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
