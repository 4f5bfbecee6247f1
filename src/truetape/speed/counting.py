"""Counting: records to the tallies of one second that they add, and how far each partition got.

Runs where records are read: in Spark's executors, or in the driver of the engine `direct`. What it
counts depends on the records alone. Executors import this module from the package that the driver
ships; it must import nothing but truetape, the standard library, and `executors.PACKAGES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Limits
from truetape.kernel import bounds, windows
from truetape.kernel.columns import DELIVERIES, WINDOWS
from truetape.kernel.decode import by_feed, decode
from truetape.kernel.fold import start_of
from truetape.kernel.judge import judge
from truetape.market.eligibility import Profile
from truetape.market.resolution import SECOND_NS, Resolution

COUNTED = pa.schema([*WINDOWS, pa.field("records", pa.int64()), pa.field("late", pa.int64())])
"""`WINDOWS` of one second; and for each partition a mark, which has no venue: its next offset as
`first_offset`, what it has closed as `closed_ns`, the numbers of records and of late trades, and as
`prints` the number of trades whose window it had closed.
"""
NOTHING_CLOSED = -(2**63)
"""What a partition has closed before its first record."""

_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CountingRules:
    """What the speed layer counts, and when a partition closes a window."""

    contracts: Mapping[str, Contract]
    profile: Profile
    limits: Limits
    lateness_ns: int

    @property
    def repeating(self) -> list[str]:
        """Return the feeds that may deliver a trade more than once."""
        return [feed for feed, each in self.contracts.items() if each.duplicates_expected]


@dataclass(slots=True)
class Counting:
    """Counts the records of some partitions, each in the order of its offsets."""

    rules: CountingRules
    _closed_ns: dict[int, int] = field(default_factory=dict)

    def counted(self, records: pa.Table) -> pa.Table:
        """Return `COUNTED` for records with the columns of `kernel.columns.RECORDS`.

        A trade is late if it was received more than the lateness after its event time. A partition
        closes a window by a receipt time more than lateness and slack after the window's end.
        Neither a late trade counts, nor a trade whose own partition closed its window before it,
        nor the second delivery of a trade in its partition, nor a trade of a minute whose sums do
        not fit. What was closed or delivered before these records is left to `speed.state`.
        """
        deliveries = self._deliveries(records)
        partitions, received_ns = _numbers(deliveries, "partition", "received_ns")
        closed_ns = self._closed(partitions, received_ns)
        is_trade = pc.equal(deliveries["kind"], "trade").to_numpy()
        (event_ns,) = _numbers(deliveries, "event_ns")
        is_late = is_trade & (event_ns < _before(received_ns, self.rules.lateness_ns))
        is_closed = is_trade & ~is_late & (event_ns - event_ns % SECOND_NS + SECOND_NS <= closed_ns)
        is_closed[_too_large(deliveries, is_trade & ~is_late & ~is_closed)] = True
        trades = deliveries.append_column("closed_ns", pa.array(closed_ns))
        judged = judge(
            trades.filter(pa.array(is_trade & ~is_late & ~is_closed)), self.rules.profile
        )
        rows = windows.tallies(judged, self.rules.repeating)
        marks = self._marks(records, partitions[is_late], partitions[is_closed])
        return pa.concat_tables([_as_counted(rows), marks])

    def _deliveries(self, records: pa.Table) -> pa.Table:
        """Decode the feeds that have a contract; in the order of partitions and positions."""
        tables = [DELIVERIES.empty_table()]
        for feed, rows in by_feed(records):
            contract = self.rules.contracts.get(feed or "")
            if contract is not None:
                is_all = len(rows) == records.num_rows
                own = records if is_all else records.take(pa.array(rows))
                tables.append(decode(own, contract, self.rules.limits).deliveries)
        joined = pa.concat_tables(tables)
        place = _numbers(joined, "index", "offset", "partition")
        order = np.lexsort(place)
        return (
            joined if np.array_equal(order, np.arange(len(order))) else joined.take(pa.array(order))
        )

    def _closed(self, partitions: _Numbers, received_ns: _Numbers) -> _Numbers:
        """Return what its partition had closed before each row; remember it for the next batch."""
        wait_ns = self.rules.lateness_ns + self.rules.limits.future_slack_ns
        closing_ns = _before(received_ns, wait_ns)
        closed_ns = np.empty_like(closing_ns)
        for part in np.unique(partitions).tolist():
            rows = np.flatnonzero(partitions == part)
            before = self._closed_ns.get(part, NOTHING_CLOSED)
            reached = np.maximum.accumulate(np.concatenate([[before], closing_ns[rows]]))
            closed_ns[rows] = reached[:-1]
            self._closed_ns[part] = int(reached[-1])
        return closed_ns

    def _marks(self, records: pa.Table, late: _Numbers, closed: _Numbers) -> pa.Table:
        partitions, offsets = _numbers(records, "partition", "offset")
        rows = [
            {
                "partition": part,
                "first_offset": int(offsets[partitions == part].max()) + 1,
                "closed_ns": self._closed_ns.get(part, NOTHING_CLOSED),
                "records": int((partitions == part).sum()),
                "late": int((late == part).sum()),
                "prints": int((closed == part).sum()),
            }
            for part in np.unique(partitions).tolist()
        ]
        return pa.Table.from_pylist(rows, COUNTED)


def _too_large(deliveries: pa.Table, counts: NDArray[np.bool_]) -> _Numbers:
    """Return the rows that count, of minutes whose sums do not fit."""
    rows = np.flatnonzero(counts)
    trades = deliveries.select(["venue", "symbol", "event_ns", "size", "notional"])
    if len(rows) < deliveries.num_rows:
        trades = trades.take(pa.array(rows))
    places = bounds.places_too_large(trades, start_of("event_ns", Resolution.MINUTE))
    too_large: _Numbers = rows[places.to_numpy()]
    return too_large


def _numbers(table: pa.Table, *names: str) -> list[_Numbers]:
    return [pc.fill_null(table[name], 0).to_numpy().astype(np.int64, copy=False) for name in names]


def _before(instants_ns: _Numbers, wait_ns: int) -> _Numbers:
    """Return the instants so much earlier, or the earliest that there is."""
    return np.maximum(instants_ns, NOTHING_CLOSED + wait_ns) - wait_ns


def _as_counted(rows: pa.Table) -> pa.Table:
    nothing = pa.nulls(rows.num_rows, pa.int64())
    return rows.append_column("records", nothing).append_column("late", nothing).cast(COUNTED)
