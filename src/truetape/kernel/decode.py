"""Decode: records to events and rejections, in both lanes. The only production decoder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Limits
from truetape.feeds.record_rules import EraClock
from truetape.kernel import careful_lane, fast_lane
from truetape.kernel.columns import DELIVERIES, Array
from truetape.kernel.trade_query import TradeQuery, trade_query
from truetape.market.event_time import DAY_NS

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The `EVENTS` and `REJECTIONS` of a batch. `fast`: how many records the fast lane read."""

    records: pa.Table
    events: pa.Table
    rejections: pa.Table
    fast: int

    @property
    def reasons(self) -> Mapping[str, int]:
        """Return the number of rejections by reason."""
        counts = pc.value_counts(self.rejections["reason"].combine_chunks()).to_pylist()
        return {row["values"]: row["counts"] for row in counts}

    @property
    def deliveries(self) -> pa.Table:
        """Return the events with their feed and position, as `DELIVERIES`."""
        rows = self.events["record"].combine_chunks()
        beside = self.records.select(["feed", "topic", "partition", "offset"]).take(rows)
        columns = {name: self.events[name] for name in self.events.column_names}
        columns |= {name: beside[name] for name in beside.column_names}
        return pa.table({name: columns[name] for name in DELIVERIES.names}, schema=DELIVERIES)


def decode(records: pa.Table, contract: Contract, limits: Limits) -> Decoded:
    """Decode records of one feed, with the columns of `kernel.columns.RECORDS`.

    Gives the events, values and reasons of `feeds.decoder.decode`, in its order.
    """
    accepted = np.zeros(records.num_rows, dtype=bool)
    tables: list[pa.Table] = []
    for place, rows in _by_era(records, contract, accepted):
        query = _query(contract, place, limits)
        if query is not None and len(rows):
            batch = records if len(rows) == records.num_rows else records.take(rows)
            result = fast_lane.read(batch, query, limits)
            events = result.events
            if batch is not records:
                own = rows.take(events["record"].combine_chunks())
                events = events.set_column(0, "record", own)
            tables.append(events)
            accepted[rows.to_numpy()[result.rows.to_numpy(zero_copy_only=False)]] = True
    rest = np.flatnonzero(~accepted)
    careful, rejections = careful_lane.read(records, rest.tolist(), contract, limits)
    events = pa.concat_tables([*tables, careful])
    if len(tables) > 1 or careful.num_rows:
        events = events.sort_by([("record", "ascending"), ("index", "ascending")])
    return Decoded(records, events, rejections, records.num_rows - len(rest))


def by_feed(records: pa.Table) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    """Yield each feed of records, None for those without one, and the rows that it has."""
    encoded = records["feed"].combine_chunks().dictionary_encode(null_encoding="encode")
    places = encoded.indices.to_numpy()
    for place, feed in enumerate(encoded.dictionary.to_pylist()):
        yield feed, np.flatnonzero(places == place)


def _by_era(
    records: pa.Table, contract: Contract, accepted: NDArray[np.bool_]
) -> Iterator[tuple[int, Array]]:
    """Yield the rows that may be of an era, and the era's place; see `Contract.eras_at`.

    Where event times decide, an era gets the rows that were not `accepted` meanwhile. The newest
    one comes first: no record is of two eras.
    """
    eras = contract.eras
    if contract.eras_by is EraClock.EVENT_TIME:
        for place in reversed(contract.certain_eras):
            yield place, pa.array(np.flatnonzero(~accepted))
        return
    if len(eras) == 1:
        yield 0, pa.array(np.arange(records.num_rows))
        return
    starts = np.array([(era.since - _EPOCH).days for era in eras])
    days = pc.fill_null(records["day"].cast(pa.int32()), int(starts[-1])).to_numpy()
    received_ns = pc.fill_null(records["received_ns"], 0).to_numpy()
    is_received = pc.is_valid(records["received_ns"]).to_numpy()
    numbers = np.where(is_received, received_ns // DAY_NS, days)
    places = np.maximum(np.searchsorted(starts, numbers, side="right") - 1, 0)
    for place in np.unique(places):
        yield int(place), pa.array(np.flatnonzero(places == place))


def _query(contract: Contract, era: int, limits: Limits) -> TradeQuery | None:
    key = (id(contract), era, limits)
    if key not in _QUERIES:
        _QUERIES[key] = contract, trade_query(contract, era, limits)
    return _QUERIES[key][1]


_QUERIES: dict[tuple[int, int, Limits], tuple[Contract, TradeQuery | None]] = {}
"""Queries by the identity of their contract, which is kept so that no other one can get it."""
