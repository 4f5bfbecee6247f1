"""The drift ledger compared with the truth: each trade's true cause beside its reported cause.

Pure; does no I/O and finds no causes. The truth comes from the simulator.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from truetape.drift.attribution import Cause
from truetape.drift.attribution_inputs import FIELDS
from truetape.drift.ledger import BarDrift
from truetape.feeds.simulator.faults import TroubleCause
from truetape.feeds.simulator.session import Truth
from truetape.market.eligibility import Profile
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.serving.store import ServedBar

BarName = tuple[str, Resolution, int]
"""Symbol, resolution, start."""
Findings = Mapping[tuple[BarName, str], Cause]
"""For a bar and a trade: the cause by which the trade changed the bar."""
Shown = Mapping[Resolution, Sequence[ServedBar]]
"""Served bars by resolution."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Confusion matrix: true cause by reported cause, counted in trades; None means no cause.

    `unnamed` counts reported causes without a trade: unexplained drift.
    """

    counts: Mapping[tuple[Cause | None, Cause | None], int]
    unnamed: int

    @property
    def right(self) -> int:
        """Return how many trades were reported with their true cause in the right bar."""
        return sum(count for (true, reported), count in self.counts.items() if true is reported)

    @property
    def wrong(self) -> int:
        """Return how many trades were reported wrongly, were not reported, or did not happen."""
        return sum(self.counts.values()) - self.right + self.unnamed

    def __add__(self, other: "Confusion") -> "Confusion":
        counts = Counter(self.counts) + Counter(other.counts)
        return Confusion(counts, self.unnamed + other.unnamed)

    def lines(self) -> Iterator[str]:
        """Yield a table: a row for each true cause, a column for each reported cause."""
        used = {cause for pair in self.counts for cause in pair}
        causes: list[Cause | None] = [cause for cause in Cause if cause in used]
        names = [*map(str, causes), "nothing"]
        yield f"{'true / reported':>16} " + " ".join(f"{name:>11}" for name in names)
        for true, name in zip([*causes, None], names, strict=True):
            row = [self.counts.get((true, reported), 0) for reported in [*causes, None]]
            if any(row):
                yield f"{name:>16} " + " ".join(f"{count:>11,}" for count in row)
        yield f"{self.right:,} right, {self.wrong:,} wrong"


def confusion(happened: Findings, entries: Iterable[BarDrift]) -> Confusion:
    """Compare trade by trade and bar by bar; the second cause of a trade counts as wrong."""
    counts: Counter[tuple[Cause | None, Cause | None]] = Counter()
    seen: set[tuple[BarName, str]] = set()
    unnamed = 0
    for entry in entries:
        bar = (entry.symbol, entry.resolution, entry.start_ns)
        for cause, trades in entry.causes.items():
            unnamed += not trades
            for trade in trades:
                true = None if (bar, trade) in seen else happened.get((bar, trade))
                counts[true, cause] += 1
                seen.add((bar, trade))
    for key, cause in happened.items():
        counts[cause, None] += key not in seen
    return Confusion({pair: count for pair, count in counts.items() if count}, unnamed)


def causes_of(
    truth: Truth, counted: Iterable[Trade], profile: Profile
) -> dict[tuple[str, str], Cause]:
    """Return the cause of each trade, by symbol and id, whose fault makes served bars wrong.

    `counted` are the deliveries that the speed layer counted. Left out are late trades that it
    counted, repeats that it dropped, and corrections of prints that set no price.
    """
    times = Counter((trade.symbol, trade.id or "") for trade in counted)
    trades = {(event.symbol, event.id): event for event in truth.events if isinstance(event, Trade)}
    causes: dict[tuple[str, str], Cause] = {}
    for trouble in truth.troubles:
        key = (trouble.symbol or "", trouble.id or "")
        cause = _CAUSES.get(trouble.cause)
        if cause is None or key not in trades:
            continue
        grade = profile.judge(trades[key].conditions, trades[key].tape)
        matters = {
            Cause.LATE: not times[key],
            Cause.DUPLICATE: times[key] > 1,
            Cause.CANCEL: times[key] > 0,
            Cause.CORRECTION: times[key] > 0 and grade.high_low,
        }
        if matters[cause]:
            causes[key] = cause
    return causes


def in_changed_bars(
    causes: Mapping[tuple[str, str], Cause], events: Iterable[Event], before: Shown, after: Shown
) -> Findings:
    """Return the causes in the bars whose values differ between `before` and `after`.

    Faults may cancel out: a late odd lot, and a repeat delivery of another lot of equal size.
    """
    changed = {bar for bar, _ in _values(before) ^ _values(after)}
    return {
        (bar, event.id or ""): causes[event.symbol, event.id or ""]
        for event in events
        if isinstance(event, Trade) and (event.symbol, event.id or "") in causes
        for bar in bars_of(event.symbol, event.event_ns, before)
        if bar in changed
    }


def bars_of(symbol: str, event_ns: int, resolutions: Iterable[Resolution]) -> Iterator[BarName]:
    """Yield the intraday bars that contain a trade."""
    for resolution in resolutions:
        yield symbol, resolution, resolution.start_of(event_ns)


_CAUSES = {
    TroubleCause.LATE: Cause.LATE,
    TroubleCause.DUPLICATE: Cause.DUPLICATE,
    TroubleCause.CANCEL: Cause.CANCEL,
    TroubleCause.CORRECTION: Cause.CORRECTION,
}


def _values(shown: Shown) -> set[tuple[BarName, tuple[float, ...]]]:
    return {
        (
            (bar.symbol, resolution, bar.start_ns),
            tuple(float(getattr(bar, name)) for name in FIELDS),
        )
        for resolution, rows in shown.items()
        for bar in rows
        if not bar.void
    }
