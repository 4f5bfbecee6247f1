"""Marks sessions dirty for what the archive has just brought: Spark finds them, `dirty` keeps them.

Reads the new records and no others, but for what `touched` needs to know about an amendment without
an event time. A session that was never recomputed has nothing to repair and gets no mark.
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
from truetape.lake.completeness import offsets_of
from truetape.lake.coverage import OffsetCount
from truetape.lake.dirty import DirtyMark
from truetape.lake.tables import Table
from truetape.market.ranges import Ranges
from truetape.market.sessions import Venue

MAX_READS = 50
"""Most ranges of one partition's offsets that are read; a count in more pieces reads between them,
and marks a little too much."""

Marked = dict[tuple[str, date], int]
"""How many symbols were marked, by venue and session date."""


def mark_dirty(
    spark: SparkSession,
    lake: Lake,
    known: OffsetCount | None,
    counted: OffsetCount,
    venues: Mapping[str, Venue],
) -> Marked:
    """Mark what lies in `counted` and not in `known`; return how many symbols of which sessions.

    Marks nothing where no earlier count tells what is new: the log says so then.
    """
    watched = bars_lineage.watched(lake.root)
    if known is None:
        if watched:
            logger("archive").warning(
                "nothing marked dirty: no earlier count of raw", raw=lake.root
            )
        return {}
    fresh = fresh_offsets(known, counted)
    if not watched or not fresh:
        return {}
    raw = lake.read(spark, Table.RAW)
    found = affected_sessions(_rows(raw, counted.topic, fresh), raw, venues)
    sessions = spark.createDataFrame(sorted(watched), "venue string, session date")
    rows = found.join(F.broadcast(sessions), ["venue", "session"], "leftsemi")
    marked: Marked = {}
    dirty.add_marks(lake.root, _counting(marked, rows.toLocalIterator(), counted))
    return marked


def fresh_offsets(known: OffsetCount, counted: OffsetCount) -> dict[int, Ranges]:
    """Return the offsets of one count that another one lacks, by partition."""
    found = {part: _offsets(counted, part) - _offsets(known, part) for part in counted.ranges}
    return {part: offsets for part, offsets in found.items() if offsets}


def _offsets(counted: OffsetCount, partition: int) -> Ranges:
    return offsets_of(counted.ranges.get(partition, ()))


def _rows(raw: DataFrame, topic: str, wanted: Mapping[int, Ranges]) -> DataFrame:
    """Return the rows of `raw` at these offsets; Delta passes over the files of all others."""
    parts = [
        raw.where((F.col("topic") == topic) & (F.col("partition") == part)).where(
            F.col("offset").between(one.start, one.last)
        )
        for part, several in wanted.items()
        for one in several.coarsened(MAX_READS)
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
