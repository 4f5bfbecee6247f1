"""The state of the speed layer: the windows that can still grow, merged from what batches count.

Pure: no I/O, no clock. Any split of the records into batches, any restarts, and any interleaving of
the partitions give the same bars, provided that each symbol is in one partition; ADR 39 says what
holds for others.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.kernel import bounds, fold, windows
from truetape.kernel.columns import BARS, WINDOWS
from truetape.kernel.events import places_of
from truetape.market.resolution import STREAMED, Resolution
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.position import PartitionPosition, SpeedPosition

CHANGED = pa.schema([pa.field("resolution", pa.string()), *BARS])
"""Bars that changed: `BARS` with their resolution."""

_Keys = NDArray[np.int64]
_WINDOW = ["venue", "symbol", "start_ns"]
_SUMS = [*_WINDOW, "volume", "notional"]
_MAX_RUNS = 8
"""Most sorted runs of delivery keys of a second, before they are joined to one."""


@dataclass(slots=True)
class _Bucket:
    """The windows of one resolution that begin at one instant.

    `firsts`: the lowest offset of each partition that added to them, and what the partition had
    closed before it.
    """

    end_ns: int
    windows: pa.Table
    firsts: dict[int, tuple[int, int]]
    is_shared: bool
    """Some window has trades of several partitions."""

    def is_closed(self, closed_ns: Mapping[int, int]) -> bool:
        """True if no partition of these windows can add to them any more."""
        return all(closed_ns[part] >= self.end_ns for part in self.firsts)

    def horizons(self, closed_ns: Mapping[int, int]) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield the partitions whose records a new driver needs for these windows."""
        for part, first in self.firsts.items():
            if self.is_shared or closed_ns[part] < self.end_ns:
                yield part, first


@dataclass(frozen=True, slots=True)
class _Changed:
    """Windows of one resolution that changed, with all their partitions."""

    resolution: Resolution
    windows: pa.Table
    is_shared: bool
    """Some window has trades of several partitions."""


@dataclass(slots=True)
class SpeedState:
    """Merges what was counted; begins where a driver before it stopped.

    While records before the offsets of `start` are read again, nothing has changed.
    """

    start: SpeedPosition = field(default_factory=SpeedPosition)
    records: int = 0
    late: int = 0
    closed: int = 0
    """Trades that came after their window was closed, or that its sums cannot take; like late ones,
    they are left to the batch layer."""
    _batch: int = 0
    _offsets: dict[int, int] = field(default_factory=dict)
    _closed_ns: dict[int, int] = field(default_factory=dict)
    _buckets: dict[tuple[Resolution, int], _Bucket] = field(default_factory=dict)
    _deliveries: dict[int, list[_Keys]] = field(default_factory=dict)
    _dropped_ns: dict[tuple[str, str], int] = field(default_factory=dict)
    """The end of the latest window of each venue and symbol that is not held any more."""
    _is_recovering: bool = False

    def __post_init__(self) -> None:
        self._batch = self.start.batch
        for part, place in self.start.partitions.items():
            self._offsets[int(part)] = place.horizon
            self._closed_ns[int(part)] = place.horizon_closed_ns
        self._is_recovering = not self._has_reached_start()

    def add(self, counted: pa.Table) -> pa.Table:
        """Merge a batch of `speed.counting.COUNTED`; return the bars that it changed, as `CHANGED`.

        Each partition's rows must go on where its last ones ended.
        """
        is_mark = pc.is_null(counted["venue"])
        marks = counted.filter(is_mark).to_pylist()
        rows = self._open(counted.filter(pc.invert(is_mark)).select(WINDOWS.names))
        changed = self._merge(self._first_deliveries(rows))
        self._advance(marks)
        if self._is_recovering:
            if not self._has_reached_start():
                return CHANGED.empty_table()
            changed = self._recovered()
        self._drop_closed()
        self._batch += 1
        return pa.concat_tables([CHANGED.empty_table(), *map(_bars, changed)])

    def position(self) -> SpeedPosition:
        """Return the position after the newest batch; while recovering, the one to reach."""
        if self._is_recovering:
            return self.start
        horizons: dict[int, tuple[int, int]] = {}
        for bucket in self._buckets.values():
            for part, first in bucket.horizons(self._closed_ns):
                horizons[part] = min(first, horizons.get(part, first))
        return SpeedPosition(
            self._batch,
            {
                str(part): PartitionPosition(
                    offset,
                    self._closed_ns[part],
                    *horizons.get(part, (offset, self._closed_ns[part])),
                )
                for part, offset in sorted(self._offsets.items())
            },
        )

    def _open(self, rows: pa.Table) -> pa.Table:
        """Return the rows whose windows were not closed before this batch."""
        parts = rows["partition"].to_numpy()
        closed_ns = np.array([self._closed_ns.get(part, NOTHING_CLOSED) for part in parts.tolist()])
        ends_ns = rows["start_ns"].to_numpy() + Resolution.SECOND.width_ns
        is_open = (ends_ns > closed_ns) & self._is_held_or_new(rows, ends_ns)
        if not self._is_recovering:
            self.closed += int(rows["prints"].to_numpy()[~is_open].sum())
        before = np.maximum(rows["closed_ns"].to_numpy(), closed_ns)
        place = rows.schema.get_field_index("closed_ns")
        return rows.set_column(place, "closed_ns", pa.array(before)).filter(pa.array(is_open))

    def _is_held_or_new(self, rows: pa.Table, ends_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """False for a window that was dropped: another partition, which had all of its trades, has
        closed it, and without them it would get a wrong bar.
        """
        result = np.ones(len(ends_ns), dtype=bool)
        suspect = np.flatnonzero(ends_ns <= max(self._dropped_ns.values(), default=NOTHING_CLOSED))
        if len(suspect):
            names = zip(
                *(rows[name].take(suspect).to_pylist() for name in _WINDOW[:2]), strict=True
            )
            latest = [self._dropped_ns.get(name, NOTHING_CLOSED) for name in names]
            result[suspect] = ends_ns[suspect] > np.array(latest)
        return result

    def _first_deliveries(self, rows: pa.Table) -> pa.Table:
        """Return the rows without the trades that were delivered before."""
        keys = pc.fill_null(rows["delivery"], 0).to_numpy()
        may_repeat = np.flatnonzero(pc.is_valid(rows["delivery"]).to_numpy())
        is_repeat = np.zeros(rows.num_rows, dtype=bool)
        for start_ns, places in _groups(rows["start_ns"].to_numpy(), may_repeat):
            earlier = self._deliveries.setdefault(start_ns, [])
            new, firsts = np.unique(keys[places], return_index=True)
            is_new = ~_is_in(new, earlier)
            is_repeat[places] = True
            is_repeat[places[firsts[is_new]]] = False
            earlier.append(new[is_new])
            if len(earlier) > _MAX_RUNS:
                self._deliveries[start_ns] = [np.sort(np.concatenate(earlier))]
        return rows.filter(pa.array(~is_repeat)) if is_repeat.any() else rows

    def _merge(self, added: pa.Table) -> list[_Changed]:
        """Merge rows of one second into the buckets; return the windows that they changed."""
        if not added.num_rows:
            return []
        starts_ns = np.unique(added["start_ns"].to_numpy())
        held = [
            _held(resolution, self._buckets[resolution, start_ns].windows)
            for resolution in STREAMED
            for start_ns in np.unique(starts_ns - starts_ns % resolution.width_ns).tolist()
            if (resolution, start_ns) in self._buckets
        ]
        before = pa.concat_tables([windows.HELD.empty_table(), *held])
        added = self._fitting(before, added)
        if not added.num_rows:
            return []
        grown = windows.grown(before, added).combine_chunks()
        changed = []
        widths = grown["width_ns"].to_numpy()
        for resolution in STREAMED:
            places = np.flatnonzero(widths == resolution.width_ns)
            changed.append(self._keep(resolution, grown.slice(places[0], len(places))))
        return changed

    def _fitting(self, held: pa.Table, added: pa.Table) -> pa.Table:
        """Return the rows without those of minutes whose sums would not fit."""
        minutes = held.filter(pc.equal(held["width_ns"], Resolution.MINUTE.width_ns))
        rows = pa.concat_tables([table.select(_SUMS) for table in (minutes, added)])
        minute = fold.start_of("start_ns", Resolution.MINUTE)
        places = bounds.places_too_large(rows, minute, "volume").to_numpy() - minutes.num_rows
        if not len(places):
            return added
        fits = np.ones(added.num_rows, dtype=bool)
        fits[places[places >= 0]] = False
        if not self._is_recovering:
            self.closed += int(added["prints"].to_numpy()[~fits].sum())
        return added.filter(pa.array(fits))

    def _keep(self, resolution: Resolution, grown: pa.Table) -> _Changed:
        """Replace buckets by the windows of one resolution, which are ordered by start.

        Return those that changed, with what partitions outside of the batch have of them.
        """
        rows = grown.select(WINDOWS.names)
        ids, starts_ns = grown["window"].to_numpy(), grown["start_ns"].to_numpy()
        is_shared = False
        for start_ns, places in _groups(starts_ns, np.arange(len(starts_ns))):
            own = rows.slice(places[0], len(places))
            bucket = _bucket(start_ns + resolution.width_ns, own, _has_repeats(ids[places]))
            self._buckets[resolution, start_ns] = bucket
            is_shared |= bucket.is_shared
        is_changed = grown["is_changed"].to_numpy()
        if is_shared:
            is_changed = np.isin(ids, ids[is_changed])
        return _Changed(resolution, rows.filter(pa.array(is_changed)), is_shared)

    def _advance(self, marks: Iterable[Mapping[str, int]]) -> None:
        for mark in marks:
            part = mark["partition"]
            self.records += self._new_records(part, mark)
            self._offsets[part] = max(mark["first_offset"], self._offsets.get(part, 0))
            before = self._closed_ns.get(part, NOTHING_CLOSED)
            self._closed_ns[part] = max(before, mark["closed_ns"])
            if not self._is_recovering:
                self.late += mark["late"]
                self.closed += mark["prints"]

    def _new_records(self, part: int, mark: Mapping[str, int]) -> int:
        """Return how many records of a batch no driver before has served."""
        place = self.start.partitions.get(str(part))
        if place is None:
            return mark["records"]
        new = mark["first_offset"] - max(self._offsets[part], place.offset)
        return min(mark["records"], max(0, new))

    def _has_reached_start(self) -> bool:
        return all(
            self._offsets[int(part)] >= place.offset
            for part, place in self.start.partitions.items()
        )

    def _recovered(self) -> list[_Changed]:
        """End the recovery; return all windows, since any of them may have changed.

        Windows that were closed before are incomplete: the horizon is that of the open ones.
        """
        self._is_recovering = False
        closed_ns = {int(part): place.closed_ns for part, place in self.start.partitions.items()}
        for key, bucket in list(self._buckets.items()):
            del self._buckets[key]
            whole = _whole(bucket, closed_ns)
            if whole.num_rows:
                self._buckets[key] = _bucket(bucket.end_ns, whole, bucket.is_shared)
        return [
            _Changed(key[0], bucket.windows, bucket.is_shared)
            for key, bucket in self._buckets.items()
        ]

    def _drop_closed(self) -> None:
        for key, bucket in list(self._buckets.items()):
            if bucket.is_closed(self._closed_ns):
                del self._buckets[key]
                if key[0] is Resolution.SECOND:
                    self._deliveries.pop(key[1], None)
                    names = (bucket.windows[name].to_pylist() for name in _WINDOW[:2])
                    for name in zip(*names, strict=True):
                        before = self._dropped_ns.get(name, NOTHING_CLOSED)
                        self._dropped_ns[name] = max(before, bucket.end_ns)


def _held(resolution: Resolution, table: pa.Table) -> pa.Table:
    width = pa.repeat(pa.scalar(resolution.width_ns, pa.int64()), table.num_rows)
    return table.add_column(0, "width_ns", width)


def _bucket(end_ns: int, table: pa.Table, is_shared: bool) -> _Bucket:
    parts = table["partition"].to_numpy()
    offsets, closed_ns = table["first_offset"].to_numpy(), table["closed_ns"].to_numpy()
    firsts = {}
    for part, places in _groups(parts, np.arange(len(parts))):
        first = places[np.argmin(offsets[places])]
        firsts[part] = int(offsets[first]), int(closed_ns[first])
    return _Bucket(end_ns, table, firsts, is_shared)


def _has_repeats(ids: NDArray[np.uint64]) -> bool:
    return len(np.unique(ids)) < len(ids)


def _whole(bucket: _Bucket, closed_ns: Mapping[int, int]) -> pa.Table:
    """Return the windows that have all their trades, if a driver began at its horizon."""
    table = bucket.windows
    parts: list[int] = table["partition"].to_numpy().tolist()
    is_open = np.array([closed_ns.get(part, NOTHING_CLOSED) < bucket.end_ns for part in parts])
    if is_open.all():
        return table
    parts_of = table.group_by(_WINDOW).aggregate([("partition", "count")])
    shared = parts_of.filter(pc.field("partition_count") > 1).select(_WINDOW)
    is_open[places_of(table, shared).to_numpy()] = True
    return table.filter(pa.array(is_open))


def _bars(changed: _Changed) -> pa.Table:
    parts = changed.windows
    bars = fold.with_vwap(windows.across_partitions(parts) if changed.is_shared else parts)
    served = bars.filter(fold.is_served(bars))
    width = pa.repeat(changed.resolution.value, served.num_rows)
    columns = {name: served[name] for name in BARS.names} | {"resolution": width}
    return pa.table({name: columns[name] for name in CHANGED.names}, schema=CHANGED)


def _groups(
    values: NDArray[np.int64], places: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each value at some places, and those places of it, in their order."""
    order = places[np.argsort(values[places], kind="stable")]
    if len(order):
        starts = np.flatnonzero(np.diff(values[order], prepend=values[order[0]] - 1))
        for group in np.split(order, starts[1:]):
            yield int(values[group[0]]), group


def _is_in(keys: _Keys, runs: Iterable[_Keys]) -> NDArray[np.bool_]:
    """True for the keys that one of some sorted runs has."""
    is_in = np.zeros(len(keys), dtype=bool)
    for run in runs:
        if len(run):
            places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            is_in |= run[places] == keys
    return is_in
