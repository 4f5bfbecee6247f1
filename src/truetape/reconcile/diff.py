"""The difference between what is served and what was recomputed, as edits. Pure; does no I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from truetape.serving.store import ServedBar


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
    served: Iterable[ServedBar], recomputed: Iterable[ServedBar], rev: int
) -> Iterator[Edit]:
    """Yield the edits that make `served` equal `recomputed`, in the order of the recomputed rows.

    A row that is already final with equal values is left alone, so that a second run yields
    nothing. Every edit carries `rev` and is final in `after`; sealing it is the publisher's
    business.
    """
    rows = {bar.key: bar for bar in served}
    for bar in recomputed:
        before = rows.pop(bar.key, None)
        if before is None:
            yield Edit(Change.ADD, None, final(bar, rev))
        elif not same_values(before, bar):
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


def _values(bar: ServedBar) -> tuple[float | int | bool, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (*prices, bar.volume, bar.vwap, bar.trades, bar.seq, bar.void)
