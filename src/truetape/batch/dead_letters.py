"""Reads from `raw` the rejections whose dead letters are due. Sends nothing."""

from collections.abc import Iterator

from truetape.broker.dead_letters import DeadLetter, Due
from truetape.lake.coverage import OffsetCount
from truetape.lake.events import RawEvents
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


def rejected_letters(lake: str, due: Due) -> Iterator[DeadLetter]:
    """Yield the rejections at the offsets due, ordered by their coordinates."""
    for records in RawEvents(lake).rejections_at(due):
        for row in records.to_pylist():
            for rejected in row["rejected"]:
                yield DeadLetter(
                    topic=row["topic"],
                    partition=row["partition"],
                    offset=row["offset"],
                    index=rejected["index"],
                    key=row["key"],
                    value=row["value"] or b"",
                    feed=row["feed"] or "",
                    reason=rejected["reason"],
                    detail=rejected["detail"] or "",
                )
