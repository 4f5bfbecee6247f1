"""The frames of what the archive brought in: by feed, by reason, by partition. Pure."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.rejection import Reason
from truetape.market.resolution import SECOND_NS
from truetape.quality.columns import doubles, table
from truetape.quality.feed_tables import FeedTables
from truetape.quality.frames import Frame
from truetape.quality.trade_frames import partition_rows

UNKNOWN = "unknown"
"""The feed of records without one, or of one that is no text."""


def feed_frames(tables: FeedTables) -> Iterator[Frame]:
    """Yield the frames of the feed suite."""
    records = tables.records
    feed = pc.fill_null(records["feed"], UNKNOWN).combine_chunks()
    events, rejected = _entries(records, "events", feed), _entries(records, "rejected", feed)
    yield Frame("feeds", feed_rows(records, feed, events, rejected))
    yield Frame("reasons", reason_rows(events, rejected))
    yield Frame("partitions", partition_rows(tables.coverage))


def feed_rows(records: pa.Table, feed: pa.Array, events: pa.Table, rejected: pa.Table) -> pa.Table:
    """Return what each feed brought: records, events, rejections, repeats, lateness.

    Heartbeats and the like are rejected as no trade; they are no part of the rejected share.
    """
    empty = [
        pc.fill_null(pc.list_value_length(records[name]), 0) for name in ("events", "rejected")
    ]
    silent = pc.equal(pc.add(*empty), 0)
    rows = []
    for name in sorted(set(feed.to_pylist())):
        mine = events.filter(pc.equal(events["feed"], name))
        refused = rejected.filter(pc.equal(rejected["feed"], name))
        trades = pc.sum(pc.not_equal(refused["reason"], str(Reason.NOT_A_TRADE))).as_py() or 0
        is_feed = pc.equal(feed, name)
        times = mine["event_ns"]
        rows.append(
            {
                "feed": name,
                "records": pc.sum(is_feed).as_py(),
                "events": mine.num_rows,
                "rejected": refused.num_rows,
                "silent": pc.sum(pc.and_(is_feed, silent.combine_chunks())).as_py(),
                "rejected_share": trades / max(1, trades + mine.num_rows),
                "duplicate_share": _repeated(mine),
                "late_p99_s": _late_p99_s(mine),
                "first_event_ns": pc.min(times).as_py(),
                "last_event_ns": pc.max(times).as_py(),
            }
        )
    return table(
        rows,
        "feed:text records:int events:int rejected:int silent:int rejected_share:float "
        "duplicate_share:float late_p99_s:float first_event_ns:int last_event_ns:int",
    )


def reason_rows(events: pa.Table, rejected: pa.Table) -> pa.Table:
    """Return how often each feed's records were rejected for each reason."""
    totals: Counter[str] = Counter()
    for part in (events, rejected):
        for row in part.group_by("feed").aggregate([([], "count_all")]).to_pylist():
            totals[row["feed"]] += row["count_all"]
    counted = rejected.group_by(["feed", "reason"]).aggregate([([], "count_all")]).to_pylist()
    rows = [
        {
            "feed": row["feed"],
            "reason": row["reason"],
            "count": row["count_all"],
            "share": row["count_all"] / totals[row["feed"]],
        }
        for row in counted
    ]
    return table(rows, "feed:text reason:text count:int share:float")


def _entries(records: pa.Table, column: str, feed: pa.Array) -> pa.Table:
    """Return the entries of a list column, one row each, with the feed of their record."""
    lists = records[column].combine_chunks()
    entries = pa.Table.from_struct_array(pc.list_flatten(lists))
    return entries.append_column("feed", feed.take(pc.list_parent_indices(lists)))


def _repeated(events: pa.Table) -> float:
    """The share of trades with an id that had come before, among these records."""
    some = events.filter(pc.and_(pc.equal(events["kind"], "trade"), events["id"].is_valid()))
    if not some.num_rows:
        return 0.0
    different: int = some.group_by(["venue", "symbol", "id"]).aggregate([]).num_rows
    return 1 - different / int(some.num_rows)


def _late_p99_s(events: pa.Table) -> float | None:
    late = doubles(pc.subtract(events["received_ns"], events["event_ns"])) / SECOND_NS
    known = late[~np.isnan(late)]
    return float(np.quantile(known, 0.99)) if len(known) else None
