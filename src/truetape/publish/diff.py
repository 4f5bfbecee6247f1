"""The difference between served and recomputed bars, as edits.

Pure: does no I/O and seals nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from truetape.market.bars import VWAP_DECIMALS
from truetape.market.resolution import ROLLED_UP, Resolution
from truetape.serving.store import BAR_NUMBERS, ServedBar

ROLLED_VWAP_ERROR = 2 * 10.0**-VWAP_DECIMALS
"""The VWAPs of the minutes are rounded, and so is the exact one: by half a last decimal each."""


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


def diff_bars(
    served: Iterable[ServedBar],
    recomputed: Iterable[ServedBar],
    rev: int,
    resolution: Resolution = Resolution.MINUTE,
) -> Iterator[Edit]:
    """Yield the edits that make `served` equal `recomputed`, in the order of the recomputed rows.

    A final row with equal values needs no edit, so a second run yields nothing. Each `after`
    carries `rev` and is final; the publisher seals it. The VWAP of a provisional row that the
    database rolled up may differ by `ROLLED_VWAP_ERROR`.
    """
    rows = {bar.key: bar for bar in served}
    for bar in recomputed:
        before = rows.pop(bar.key, None)
        if before is None:
            yield Edit(Change.ADD, None, final(bar, rev))
        elif not same_values(_to_compare(before, bar, resolution), bar):
            yield Edit(Change.CHANGE, before, final(bar, rev))
        elif not before.final or before.layer != "batch":
            yield Edit(Change.CONFIRM, before, final(bar, rev))
    for before in rows.values():
        if not (before.void and before.final):
            yield Edit(Change.VOID, before, void(before, rev))


def same_values(left: ServedBar, right: ServedBar) -> bool:
    """True if two rows have equal values; layer and rev may differ."""
    return _values(left) == _values(right)


def final(bar: ServedBar, rev: int) -> ServedBar:
    """Return the final row that publication `rev` serves for a recomputed bar."""
    return bar.in_state(rev=rev, layer="batch", final=True, void=False)


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


def is_rolled_up(bar: ServedBar, resolution: Resolution) -> bool:
    """True if the database rolled this row up from minutes (`serving.rollups`)."""
    return bar.layer == "speed" and resolution in ROLLED_UP


def _to_compare(before: ServedBar, bar: ServedBar, resolution: Resolution) -> ServedBar:
    is_close = abs(before.vwap - bar.vwap) <= ROLLED_VWAP_ERROR
    if is_rolled_up(before, resolution) and is_close:
        return replace(before, vwap=bar.vwap)
    return before


def _values(bar: ServedBar) -> tuple[float | int | bool, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (*prices, bar.volume, bar.vwap, bar.trades, bar.seq, bar.void)
