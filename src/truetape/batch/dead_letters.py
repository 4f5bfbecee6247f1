"""Reads from `raw`, in Spark, the rejections whose dead letters are due. Sends nothing."""

from collections.abc import Iterator
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from truetape.broker.dead_letters import DeadLetter, Due


def rejected_letters(raw: DataFrame, topic: str, due: Due) -> Iterator[DeadLetter]:
    """Yield the rejections of the offsets due, ordered by their coordinates."""
    # partition by partition: with one condition that contains "or", Delta would skip no file
    fresh = [
        raw.where((F.col("topic") == topic) & (F.col("partition") == part)).where(
            (F.col("offset") >= begin) & (F.col("offset") < end)
        )
        for part, (begin, end) in due.items()
    ]
    rows = reduce(DataFrame.unionAll, fresh).where("rejections > 0")
    letters = rows.select(
        "topic", "partition", "offset", "key", "value", "feed", F.explode("rejected").alias("why")
    )
    for row in letters.orderBy("partition", "offset", "why.index").toLocalIterator():
        yield DeadLetter(
            topic=row.topic,
            partition=row.partition,
            offset=row.offset,
            index=row.why["index"],
            key=row.key,
            value=bytes(row.value or b""),
            feed=row.feed or "",
            reason=row.why.reason,
            detail=row.why.detail or "",
        )
