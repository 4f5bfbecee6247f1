"""The frames of newly archived records: by feed, by reason, by partition. Pure."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.rejection import Reason
from truetape.market.resolution import SECOND_NS
from truetape.quality.columns import Values, doubles, table
from truetape.quality.feed_tables import FeedTables
from truetape.quality.frames import Frame
from truetape.quality.trade_frames import partition_rows

UNKNOWN = "unknown"
"""The feed name of records whose feed header is missing or no text."""


def feed_frames(tables: FeedTables) -> Iterator[Frame]:
    """Yield the frames of the feed suite."""
    records = tables.records
    feed = pc.fill_null(records["feed"], UNKNOWN).combine_chunks()
    events, rejected = _entries(records, "events", feed), _entries(records, "rejected", feed)
    yield Frame("feeds", feed_rows(records, feed, events, rejected))
    yield Frame("reasons", reason_rows(events, rejected))
    yield Frame("partitions", partition_rows(tables.coverage))


def feed_rows(records: pa.Table, feed: Values, events: pa.Table, rejected: pa.Table) -> pa.Table:
    """Count each feed's records, events, rejections and duplicates, and measure its lateness.

    Payloads that are no trades, such as heartbeats, do not count for the rejected share.
    """
    empty = [
        pc.fill_null(pc.list_value_length(records[name]), 0) for name in ("events", "rejected")
    ]
    silent = pc.equal(pc.add(*empty), 0)
    rows = []
    for name in sorted(set(map(str, feed.to_pylist()))):
        of_feed = events.filter(pc.equal(events["feed"], name))
        refused = rejected.filter(pc.equal(rejected["feed"], name))
        trades = pc.sum(pc.not_equal(refused["reason"], str(Reason.NOT_A_TRADE))).as_py() or 0
        is_feed = pc.equal(feed, name)
        times = of_feed["event_ns"]
        rows.append(
            {
                "feed": name,
                "records": pc.sum(is_feed).as_py(),
                "events": of_feed.num_rows,
                "rejected": refused.num_rows,
                "silent": pc.sum(pc.and_(is_feed, silent.combine_chunks())).as_py(),
                "rejected_share": trades / max(1, trades + of_feed.num_rows),
                "duplicate_share": _repeated(of_feed),
                "late_p99_s": _late_p99_s(of_feed),
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
    """Count each feed's rejections by reason."""
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


def _entries(records: pa.Table, column: str, feed: Values) -> pa.Table:
    """Return the entries of a list column, one row each, with their record's feed."""
    lists = records[column].combine_chunks()
    entries = pa.Table.from_struct_array(pc.list_flatten(lists))
    return entries.append_column("feed", feed.take(pc.list_parent_indices(lists)))


def _repeated(events: pa.Table) -> float:
    """Return the share of trades whose id occurred before, among these records."""
    trades = events.filter(pc.and_(pc.equal(events["kind"], "trade"), events["id"].is_valid()))
    if not trades.num_rows:
        return 0.0
    distinct: int = trades.group_by(["venue", "symbol", "id"]).aggregate([]).num_rows
    return 1 - distinct / int(trades.num_rows)


def _late_p99_s(events: pa.Table) -> float | None:
    late = doubles(pc.subtract(events["received_ns"], events["event_ns"])) / SECOND_NS
    with_receipt = late[~np.isnan(late)]
    return float(np.quantile(with_receipt, 0.99)) if len(with_receipt) else None
