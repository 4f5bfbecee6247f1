"""The difference between served and recomputed bars, as edits.

Pure: does no I/O and seals nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.market.resolution import ROLLED_UP, Resolution
from truetape.serving.bar_table import bars_of, concat, in_state, with_values
from truetape.serving.row_keys import Column, matches
from truetape.serving.store import BAR_NUMBERS, ServedBar

ROLLED_VWAP_ERROR = 1e-12
"""By how much of a bar's prices its VWAP may be off if the database rolled it up: it sums doubles,
1,440 minutes a day, each of which is off by 1.2e-16 at most.
"""
_VALUES = (*(name for name in BAR_NUMBERS if name != "vwap"), "trades", "seq", "void")


class Change(StrEnum):
    """What an edit does to the served row."""

    ADD = "add"
    """No row was served for this bar."""
    CONFIRM = "confirm"
    """The provisional values were right: the row becomes final."""
    CHANGE = "change"
    """The values differ."""
    VOID = "void"
    """No trade is left: the row stays, marked void."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One row to write: `after` replaces `before`, which is None if nothing was served."""

    change: Change
    before: ServedBar | None
    after: ServedBar


@dataclass(frozen=True, slots=True)
class Edits:
    """Rows to write, as three columns of one length: what changes, the rows before (null where
    nothing was served), and the rows after.
    """

    changes: Column
    before: pa.Table
    after: pa.Table

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.changes)

    def __iter__(self) -> Iterator[Edit]:
        """Yield each row."""
        present = pc.is_valid(self.before.column("symbol"))
        befores = bars_of(self.before.filter(present))
        rows = zip(self.changes.to_pylist(), present.to_pylist(), bars_of(self.after), strict=True)
        for change, has_before, after in rows:
            yield Edit(Change(str(change)), next(befores) if has_before else None, after)

    @property
    def symbols(self) -> set[str]:
        """Return the symbols that have an edit."""
        return set(map(str, pc.unique(self.after.column("symbol")).to_pylist()))

    @property
    def replaced(self) -> pa.Table:
        """Return the rows before that were served."""
        return self.before.filter(pc.is_valid(self.before.column("symbol")))

    @property
    def replaced_final(self) -> pa.Table:
        """Return the rows before that were served as final."""
        return self.before.filter(self.before.column("final"))  # a null drops the row

    @property
    def is_confirmed(self) -> Column:
        """Return for each row whether only its state changes, and no value."""
        same = pc.equal(self.before.column("vwap"), self.after.column("vwap"))
        confirmed = pc.equal(self.changes, Change.CONFIRM.value)
        return pc.and_(confirmed, pc.fill_null(same, False).combine_chunks())

    def of(self, *changes: Change) -> "Edits":
        """Return the edits of these kinds."""
        kinds = pa.array([change.value for change in changes], pa.string())
        wanted = pc.is_in(self.changes, kinds)
        return Edits(
            self.changes.filter(wanted), self.before.filter(wanted), self.after.filter(wanted)
        )

    def counts(self) -> dict[Change, int]:
        """Return the number of edits of each kind that there is."""
        counts = pc.value_counts(self.changes).to_pylist()
        return {Change(item["values"]): item["counts"] for item in counts}


def diff_bars(
    served: pa.Table,
    recomputed: pa.Table,
    rev: int,
    resolution: Resolution = Resolution.MINUTE,
) -> Edits:
    """Return the edits that make `served` equal `recomputed`, in the order of the recomputed rows,
    then of the rows that become void. Both are tables as `serving.bar_table` has them.

    A final row with equal values needs no edit, so a second run has none. Each row after carries
    `rev` and is final; the publisher seals it. The VWAP of a provisional row that the database
    rolled up may differ by `ROLLED_VWAP_ERROR`.
    """
    places = matches(recomputed, served)
    before = served.take(places)
    is_new = pc.is_null(places)
    same = _same_values(before, recomputed, resolution)
    is_done = pc.and_(before.column("final"), pc.equal(before.column("layer"), "batch"))
    change = pc.case_when(
        pc.make_struct(is_new, pc.invert(same), pc.invert(is_done)),
        Change.ADD.value,
        Change.CHANGE.value,
        Change.CONFIRM.value,
    )
    needed = pc.is_valid(change)
    gone = _gone(served, recomputed, places)
    voided = pa.repeat(Change.VOID.value, len(gone))
    return Edits(
        pa.concat_arrays([_array(change).filter(_array(needed)), voided]),
        concat([before.filter(needed), gone]),
        concat([final_rows(recomputed.filter(needed), rev), void_rows(gone, rev)]),
    )


def final(bar: ServedBar, rev: int) -> ServedBar:
    """Return the final row that publication `rev` serves for a recomputed bar."""
    return bar.in_state(rev=rev, layer="batch", final=True, void=False)


def final_rows(bars: pa.Table, rev: int) -> pa.Table:
    """Return what `final` returns for each bar."""
    return in_state(bars, rev=rev, layer="batch", final=True, void=False)


def void(bar: ServedBar, rev: int) -> ServedBar:
    """Return the void row that publication `rev` serves where no trade is left."""
    empty = ServedBar.unpublished(
        (bar.symbol, bar.venue, bar.start_ns),
        [0.0] * len(BAR_NUMBERS),
        trades=0,
        seq=bar.seq,
        layer="batch",
    )
    return empty.in_state(rev=rev, layer="batch", final=True, void=True)


def void_rows(bars: pa.Table, rev: int) -> pa.Table:
    """Return what `void` returns for each row."""
    empty = with_values(bars, **dict.fromkeys(BAR_NUMBERS, 0.0), trades=0)
    return in_state(empty, rev=rev, layer="batch", final=True, void=True)


def is_rolled_up(bar: ServedBar, resolution: Resolution) -> bool:
    """True if the database rolled this row up from minutes (`serving.rollups`)."""
    return bar.layer == "speed" and resolution in ROLLED_UP


def are_rolled_up(bars: pa.Table, resolution: Resolution) -> Column:
    """Return what `is_rolled_up` returns for each row; null for a row without a layer."""
    if resolution not in ROLLED_UP:
        return pa.chunked_array([pa.repeat(False, len(bars))])
    rolled_up: Column = pc.equal(bars.column("layer"), "speed")
    return rolled_up


def _same_values(before: pa.Table, bars: pa.Table, resolution: Resolution) -> Column:
    """Return for each pair of rows whether their values are equal; layer and rev may differ."""
    left, right = before.column("vwap"), bars.column("vwap")
    same = pc.equal(left, right)
    if resolution in ROLLED_UP:
        size = pc.max_element_wise(*(pc.abs(bars.column(name)) for name in ("high", "low")))
        most = pc.multiply(size, ROLLED_VWAP_ERROR)
        is_close = pc.less_equal(pc.abs(pc.subtract(left, right)), most)
        same = pc.or_(same, pc.and_(is_close, are_rolled_up(before, resolution)))
    for name in _VALUES:
        same = pc.and_(same, pc.equal(before.column(name), bars.column(name)))
    return same


def _gone(served: pa.Table, recomputed: pa.Table, matched: Column) -> pa.Table:
    """Return the served rows without a recomputed bar, except final void rows."""
    unmatched = np.ones(len(served), dtype=np.bool_)
    unmatched[matched.drop_null().to_numpy()] = False
    rest = served.filter(pa.array(unmatched))
    rest = rest.filter(pc.invert(pc.and_(rest.column("void"), rest.column("final"))))
    return rest.filter(pc.is_null(matches(rest, recomputed))) if len(rest) else rest


def _array(column: Any) -> Column:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
