"""Marks the sessions dirty that newly archived records affect; `lake.dirty` stores the marks.

Reads only the new records, and the trades that amendments without an event time may mean. Does not
mark a session that was never recomputed: it has no bars to repair.
"""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import date
from functools import partial

from truetape.batch.affected_sessions import affected_sessions
from truetape.host.log import logger
from truetape.lake import bars_lineage, dirty
from truetape.lake.coverage import OffsetCount
from truetape.lake.dirty import DirtyMark
from truetape.lake.events import RawEvents
from truetape.market.sessions import Venue

MAX_READS = 50
"""Most ranges of one partition's offsets that are read. If there are more, the records between them
are read too, and a few symbols are marked without need."""

Marked = Mapping[tuple[str, date], int]
"""The number of marked symbols, by venue and session date."""


def mark_dirty(
    lake: str, known: OffsetCount | None, counted: OffsetCount, venues: Mapping[str, Venue]
) -> Marked:
    """Mark the symbols that records in `counted` and not in `known` affect; return their number by
    session.

    Without an earlier count nothing is known to be new: then it marks nothing and logs a warning.
    """
    watched = bars_lineage.watched(lake)
    if known is None:
        if watched:
            logger("archive").warning("nothing marked dirty: no earlier count of raw", raw=lake)
        return {}
    fresh = counted.fresh(known)
    if not watched or not fresh:
        return {}
    raw = RawEvents(lake)
    affected = affected_sessions(partial(raw.events_at, fresh, MAX_READS), raw, venues)
    now = time.time_ns()
    marks = [
        DirtyMark(
            venue,
            day,
            symbol,
            affected.trades[venue, day, symbol],
            affected.amendments[venue, day, symbol],
            counted.raw_id,
            counted.raw_version,
            now,
        )
        for venue, day, symbol in affected.places
        if (venue, day) in watched
    ]
    dirty.add_marks(lake, marks)
    return Counter((mark.venue, mark.session) for mark in marks)
