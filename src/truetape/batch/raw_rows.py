"""Makes rows of `raw` from records: decodes each feed by its contract, on the kernel.

Both engines call it. One row a record, payload and headers untouched, events and rejections beside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.feeds.contract import Contract, contract_names, load_contract
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.kernel.columns import EVENTS, REJECTIONS, Array, Column
from truetape.kernel.decode import by_feed, decode
from truetape.lake.schemas import EVENT, RAW, REJECTION
from truetape.market.event_time import DAY_NS
from truetape.market.rejection import Reason

_Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contracts:
    """Contracts by the name of their feed; `broken` has the errors of those that cannot be read."""

    loaded: Mapping[str, Contract]
    broken: Mapping[str, str] = field(default_factory=dict)

    def of(self, feed: str | None) -> Contract | None:
        """Return the contract of a feed, None if there is none. Raise ConfigError if it is broken:
        its records would be rejected for good.
        """
        name = feed or ""
        if name in self.broken:
            raise ConfigError(self.broken[name])
        return self.loaded.get(name)


def all_contracts() -> Contracts:
    """Load every contract that there is; a broken one stops only those who need it."""
    loaded: dict[str, Contract] = {}
    broken: dict[str, str] = {}
    for feed in contract_names():
        try:
            loaded[feed] = load_contract(feed)
        except ConfigError as error:
            broken[feed] = str(error)
    return Contracts(loaded, broken)


def raw_rows(records: pa.Table, contracts: Contracts, limits: Limits) -> pa.Table:
    """Return rows of `raw` for records with the columns of `kernel.columns.RECORDS`, in their
    order. A record of a feed without a contract is one rejection.
    """
    count = records.num_rows
    versions = np.full(count, np.nan)
    events, rejections = [EVENTS.empty_table()], [REJECTIONS.empty_table()]
    for feed, rows in by_feed(records):
        contract = contracts.of(feed)
        if contract is None:
            rejections.append(_without_contract(rows))
            continue
        own = records if len(rows) == count else records.take(pa.array(rows))
        decoded = decode(own, contract, limits)
        versions[rows] = contract.version
        events.append(_placed(decoded.events, rows))
        rejections.append(_placed(decoded.rejections, rows))
    accepted, rejected = _ordered(events), _ordered(rejections)
    firsts, lasts = _first_and_last(accepted, count)
    columns: dict[str, Array | Column] = {
        name: records[name] for name in RAW.names if name in records.column_names
    }
    columns |= {
        "contract_version": pa.array(versions, pa.int32(), from_pandas=True),
        "date": _dates(firsts),
        "first_event_ns": firsts,
        "last_event_ns": lasts,
        "amends": _amends(accepted, count),
        "accepted": pa.array(_counts(accepted, count), pa.int32()),
        "rejections": pa.array(_counts(rejected, count), pa.int32()),
        "events": _nested(accepted, EVENT, count),
        "rejected": _nested(rejected, REJECTION, count),
    }
    return pa.table({name: columns[name] for name in RAW.names}, schema=RAW)


def _without_contract(rows: _Rows) -> pa.Table:
    columns = {
        "record": pa.array(rows),
        "index": pa.array(np.zeros(len(rows), np.int32)),
        "reason": pa.repeat(str(Reason.UNKNOWN_FEED), len(rows)),
        "detail": pa.repeat("payload", len(rows)),
    }
    return pa.table(columns, schema=REJECTIONS)


def _placed(items: pa.Table, rows: _Rows) -> pa.Table:
    """Number the records of a feed's items as in the whole batch."""
    places = rows[items["record"].to_numpy()]
    return items.set_column(0, items.schema.field("record"), pa.array(places))


def _ordered(tables: Sequence[pa.Table]) -> pa.Table:
    """Join the items of feeds, each in the order of records and indices."""
    items = pa.concat_tables(tables)
    if len(tables) > 2:
        items = items.sort_by([("record", "ascending"), ("index", "ascending")])
    return items.combine_chunks()


def _counts(items: pa.Table, count: int) -> _Rows:
    return np.bincount(items["record"].to_numpy(), minlength=count)


def _nested(items: pa.Table, item: pa.StructType, count: int) -> Array:
    """Return the items of each record as a list of structs."""
    ends = np.cumsum(_counts(items, count))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    fields = list(item)
    columns = [items[field.name].combine_chunks().cast(field.type) for field in fields]
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=fields))


def _first_and_last(events: pa.Table, count: int) -> tuple[Array, Array]:
    """Return the least and greatest event time of each record; null where there is none."""
    timed = events.filter(pc.is_valid(events["event_ns"]))
    rows, times = timed["record"].to_numpy(), timed["event_ns"].to_numpy()
    begins = np.flatnonzero(np.diff(rows, prepend=-1))  # the events of a record are together
    bounds: list[Array] = []
    for least_or_greatest in (np.minimum, np.maximum):
        values, missing = np.zeros(count, np.int64), np.ones(count, bool)
        if len(rows):
            values[rows[begins]] = least_or_greatest.reduceat(times, begins)
            missing[rows[begins]] = False
        bounds.append(pa.array(values, mask=missing))
    return bounds[0], bounds[1]


def _dates(times_ns: Array) -> Array:
    days = np.floor_divide(pc.fill_null(times_ns, 0).to_numpy(), DAY_NS).astype(np.int32)
    missing = pc.is_null(times_ns).to_numpy(zero_copy_only=False)
    return pa.array(days, pa.int32(), mask=missing).cast(pa.date32())


def _amends(events: pa.Table, count: int) -> Array:
    amending = np.zeros(count, bool)
    is_trade = pc.equal(events["kind"], "trade")
    amending[events["record"].filter(pc.invert(is_trade)).to_numpy()] = True
    return pa.array(amending)
