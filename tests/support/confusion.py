"""The drift ledger beside a truth: what happened to which trade, and what the ledger says did.

Pure; does no I/O, and knows nothing of how causes are found. The truth is the simulator's.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from truetape.drift.attribution import Cause
from truetape.drift.attribution_inputs import FIELDS
from truetape.drift.ledger import BarDrift
from truetape.feeds.simulator.faults import TroubleCause as Trouble
from truetape.feeds.simulator.session import Truth
from truetape.market.eligibility import Profile
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.serving.store import ServedBar

BarName = tuple[str, Resolution, int]
"""Symbol, resolution, start."""
Findings = Mapping[tuple[BarName, str], Cause]
"""The cause for which a trade changed a bar."""
Shown = Mapping[Resolution, Sequence[ServedBar]]
"""What is served, by resolution."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each cause of the truth was told as which; None is nothing, on either side.

    `unnamed` counts causes that the ledger tells without any trade: those that are unexplained.
    """

    counts: Mapping[tuple[Cause | None, Cause | None], int]
    unnamed: int

    @property
    def right(self) -> int:
        """Return how many trades were told with their own cause, in the right bar."""
        return sum(count for (true, told), count in self.counts.items() if true is told)

    @property
    def wrong(self) -> int:
        """Return how many were not, or were told and did not happen."""
        return sum(self.counts.values()) - self.right + self.unnamed

    def __add__(self, other: "Confusion") -> "Confusion":
        counts = Counter(self.counts) + Counter(other.counts)
        return Confusion(counts, self.unnamed + other.unnamed)

    def lines(self) -> Iterator[str]:
        """Yield a table: a row for each true cause, a column for each cause told."""
        used = {cause for pair in self.counts for cause in pair}
        causes: list[Cause | None] = [cause for cause in Cause if cause in used]
        names = [*map(str, causes), "nothing"]
        yield f"{'happened / told':>16} " + " ".join(f"{name:>11}" for name in names)
        for true, name in zip([*causes, None], names, strict=True):
            row = [self.counts.get((true, told), 0) for told in [*causes, None]]
            if any(row):
                yield f"{name:>16} " + " ".join(f"{count:>11,}" for count in row)
        yield f"{self.right:,} right, {self.wrong:,} wrong"


def confusion(happened: Findings, entries: Iterable[BarDrift]) -> Confusion:
    """Compare trade by trade and bar by bar; a trade told with two causes is wrong once more."""
    told: Counter[tuple[Cause | None, Cause | None]] = Counter()
    seen: set[tuple[BarName, str]] = set()
    unnamed = 0
    for entry in entries:
        bar = (entry.symbol, entry.resolution, entry.start_ns)
        for cause, trades in entry.causes.items():
            unnamed += not trades
            for trade in trades:
                true = None if (bar, trade) in seen else happened.get((bar, trade))
                told[true, cause] += 1
                seen.add((bar, trade))
    for key, cause in happened.items():
        told[cause, None] += key not in seen
    return Confusion({pair: count for pair, count in told.items() if count}, unnamed)


def causes_of(
    truth: Truth, counted: Iterable[Trade], profile: Profile
) -> dict[tuple[str, str], Cause]:
    """Return the trades, by symbol and id, whose trouble makes served bars wrong, with its cause.

    `counted` are the deliveries that the speed layer counted. A late trade that it counted is
    none, nor a repeat that it dropped, nor new values of a print that sets no price.
    """
    times = Counter((one.symbol, one.id or "") for one in counted)
    trades = {(one.symbol, one.id): one for one in truth.events if isinstance(one, Trade)}
    found: dict[tuple[str, str], Cause] = {}
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
            found[key] = cause
    return found


def in_changed_bars(
    causes: Mapping[tuple[str, str], Cause], events: Iterable[Event], before: Shown, after: Shown
) -> Findings:
    """Return the causes in those bars of `before` and `after` that tell something else.

    Troubles may undo each other: a late odd lot and a second delivery of one that is as large.
    """
    changed = {bar for bar, _ in _told(before) ^ _told(after)}
    return {
        (bar, one.id or ""): causes[one.symbol, one.id or ""]
        for one in events
        if isinstance(one, Trade) and (one.symbol, one.id or "") in causes
        for bar in bars_of(one.symbol, one.event_ns, before)
        if bar in changed
    }


def bars_of(symbol: str, event_ns: int, resolutions: Iterable[Resolution]) -> Iterator[BarName]:
    """Yield the bars that a trade falls into; not for 1d bars."""
    for resolution in resolutions:
        yield symbol, resolution, resolution.start_of(event_ns)


_CAUSES = {
    Trouble.LATE: Cause.LATE,
    Trouble.DUPLICATE: Cause.DUPLICATE,
    Trouble.CANCEL: Cause.CANCEL,
    Trouble.CORRECTION: Cause.CORRECTION,
}


def _told(shown: Shown) -> set[tuple[BarName, tuple[float, ...]]]:
    return {
        (
            (bar.symbol, resolution, bar.start_ns),
            tuple(float(getattr(bar, name)) for name in FIELDS),
        )
        for resolution, rows in shown.items()
        for bar in rows
        if not bar.void
    }
