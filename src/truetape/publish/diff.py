"""The difference between what is served and what was recomputed, as edits. Pure; does no I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from truetape.market.bars import VWAP_DECIMALS
from truetape.market.resolution import ROLLED_UP, Resolution
from truetape.serving.store import ServedBar

ROLLED_VWAP_ERROR = 2 * 10.0**-VWAP_DECIMALS
"""A minute's VWAP is rounded and so is the exact one, each by half a unit of the last decimal."""


class Change(StrEnum):
    """What an edit does to the served row."""

    ADD = "add"
    """Nothing was served there."""
    CONFIRM = "confirm"
    """The provisional values were right; the row becomes final."""
    CHANGE = "change"
    """The values differ."""
    VOID = "void"
    """No trade is left; the row stays, marked void."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One row to write: `after` replaces `before`, which is None where nothing was served."""

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

    A row that is already final with equal values is left alone, so that a second run yields
    nothing. Every edit carries `rev` and is final in `after`; sealing it is the publisher's
    business. A provisional row that the database added up was right when its VWAP is, to the last
    decimal of those that it was added up from.
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
    """Say whether two rows tell a reader the same, whoever wrote them."""
    return _values(left) == _values(right)


def final(bar: ServedBar, rev: int) -> ServedBar:
    """Return a recomputed bar as publication `rev` serves it."""
    return replace(bar, rev=rev, layer="batch", final=True, void=False)


def void(bar: ServedBar, rev: int) -> ServedBar:
    """Return the marker that publication `rev` serves where no trade is left."""
    return ServedBar(
        symbol=bar.symbol,
        venue=bar.venue,
        start_ns=bar.start_ns,
        open=0.0,
        high=0.0,
        low=0.0,
        close=0.0,
        volume=0.0,
        vwap=0.0,
        trades=0,
        rev=rev,
        seq=bar.seq,
        layer="batch",
        final=True,
        void=True,
    )


def is_rolled_up(bar: ServedBar, resolution: Resolution) -> bool:
    """Say whether a row was added up by the database from narrower ones (`serving.rollups`)."""
    return bar.layer == "speed" and resolution in ROLLED_UP


def _to_compare(before: ServedBar, bar: ServedBar, resolution: Resolution) -> ServedBar:
    is_close = abs(before.vwap - bar.vwap) <= ROLLED_VWAP_ERROR
    if is_rolled_up(before, resolution) and is_close:
        return replace(before, vwap=bar.vwap)
    return before


def _values(bar: ServedBar) -> tuple[float | int | bool, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (*prices, bar.volume, bar.vwap, bar.trades, bar.seq, bar.void)
