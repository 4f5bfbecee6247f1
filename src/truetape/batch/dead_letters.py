"""Reads from `raw`, in Spark, the rejections whose dead letters are due. Sends nothing."""

from collections.abc import Iterator
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from truetape.broker.dead_letters import DeadLetter, Due
from truetape.lake.coverage import OffsetCount
from truetape.market.ranges import Range


def archived_offsets(counted: OffsetCount, known: OffsetCount | None) -> Due:
    """Return the offsets whose letters may be due: all of the present generations, and of the
    earlier ones those that no finished run has counted.
    """
    logs = counted.generations.logs(counted.ends)
    offsets = {(logs[part], part): Range(0, end) for part, end in counted.ends.items()}
    fresh = {} if known is None else counted.fresh(known)
    return offsets | {
        place: Range(fresh[place].parts[0].start, ranges[-1].end)
        for place, ranges in counted.earlier.items()
        if place in fresh
    }


def rejected_letters(raw: DataFrame, due: Due) -> Iterator[DeadLetter]:
    """Yield the rejections of the offsets due, ordered by their coordinates."""
    # partition by partition: with one condition that contains "or", Delta would skip no file
    fresh = [
        raw.where((F.col("topic") == log) & (F.col("partition") == part)).where(
            (F.col("offset") >= span.start) & (F.col("offset") < span.end)
        )
        for (log, part), span in due.items()
    ]
    rows = reduce(DataFrame.unionAll, fresh).where("rejections > 0")
    letters = rows.select(
        "topic", "partition", "offset", "key", "value", "feed", F.explode("rejected").alias("why")
    )
    for row in letters.orderBy("topic", "partition", "offset", "why.index").toLocalIterator():
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
