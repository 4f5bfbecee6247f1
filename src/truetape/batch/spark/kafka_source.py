"""Kafka's records in Spark under the kernel's column names, payloads untouched. Decodes nothing."""

import re

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from truetape.broker.stamps import BROKER_STAMP, PRODUCER_STAMP
from truetape.host.errors import ConfigError


def from_kafka(records: DataFrame) -> DataFrame:
    """Return the columns of a Kafka source under the decoder's names. The source must include
    headers. A record that its producer stamped fails the read: no stamp bounds its times.
    """
    return records.select(
        "topic",
        "partition",
        "offset",
        F.when(F.col("timestampType") == BROKER_STAMP, F.unix_millis("timestamp"))
        .otherwise(F.raise_error(_producer_stamp()))
        .alias("record_ms"),
        _text(F.col("key")).alias("key"),
        "value",
        _text(_header("feed")).alias("feed"),
        _text(_header("received_ns")).try_cast("bigint").alias("received_ns"),
    )


def stamp_error(text: str) -> ConfigError | None:
    """Return the error about a record that its producer stamped, by Spark's own error.

    None if that error is another one.
    """
    match = re.search(rf"[^\s]+{re.escape(PRODUCER_STAMP)}", text)
    return None if match is None else ConfigError(match[0])


def _producer_stamp() -> Column:
    place = F.concat_ws("@", F.concat_ws("/", "topic", "partition"), "offset")
    return F.concat(place, F.lit(PRODUCER_STAMP))


def _header(name: str) -> Column:
    """Return the first header of a name. Uses no lambda: Spark would interpret it row by row."""
    position = F.array_position("headers.key", F.lit(name)).cast("int")
    return F.get("headers.value", position - 1)


def _text(value: Column) -> Column:
    return F.try_validate_utf8(value.cast("string"))
