"""Marks the sessions dirty that newly archived records affect; `lake.dirty` stores the marks.

Reads only the new records, and the trades that amendments without an event time may mean. Does not
mark a session that was never recomputed: it has no bars to repair.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from truetape.batch.affected_sessions import affected_sessions
from truetape.batch.spark.lake import Lake
from truetape.host.log import logger
from truetape.lake import bars_lineage, dirty
from truetape.lake.coverage import LogPartition, OffsetCount
from truetape.lake.dirty import DirtyMark
from truetape.lake.tables import Table
from truetape.market.ranges import Ranges
from truetape.market.sessions import Venue

MAX_READS = 50
"""Most ranges of one partition's offsets that are read. If there are more, the records between them
are read too, and a few symbols are marked without need."""

Marked = dict[tuple[str, date], int]
"""The number of marked symbols, by venue and session date."""


def mark_dirty(
    spark: SparkSession,
    lake: Lake,
    known: OffsetCount | None,
    counted: OffsetCount,
    venues: Mapping[str, Venue],
) -> Marked:
    """Mark the symbols that records in `counted` and not in `known` affect; return their number by
    session.

    Without an earlier count nothing is known to be new: then it marks nothing and logs a warning.
    """
    watched = bars_lineage.watched(lake.root)
    if known is None:
        if watched:
            logger("archive").warning(
                "nothing marked dirty: no earlier count of raw", raw=lake.root
            )
        return {}
    fresh = counted.fresh(known)
    if not watched or not fresh:
        return {}
    raw = lake.read(spark, Table.RAW)
    affected = affected_sessions(_rows(raw, fresh), raw, venues)
    sessions = spark.createDataFrame(sorted(watched), "venue string, session date")
    rows = affected.join(F.broadcast(sessions), ["venue", "session"], "leftsemi")
    marked: Marked = {}
    dirty.add_marks(lake.root, _counting(marked, rows.toLocalIterator(), counted))
    return marked


def _rows(raw: DataFrame, wanted: Mapping[LogPartition, Ranges]) -> DataFrame:
    """Return the rows of `raw` at these offsets; Delta skips files without any of them."""
    parts = [
        raw.where((F.col("topic") == log) & (F.col("partition") == part)).where(
            F.col("offset").between(span.start, span.last)
        )
        for (log, part), spans in wanted.items()
        for span in spans.coarsened(MAX_READS)
    ]
    return reduce(DataFrame.unionAll, parts)


def _counting(marked: Marked, rows: Iterator[Row], counted: OffsetCount) -> Iterator[DirtyMark]:
    now = time.time_ns()
    for row in rows:
        place = (row.venue, row.session)
        marked[place] = marked.get(place, 0) + 1
        yield DirtyMark(
            row.venue,
            row.session,
            row.symbol,
            row.trades,
            row.amendments,
            counted.raw_id,
            counted.raw_version,
            now,
        )
