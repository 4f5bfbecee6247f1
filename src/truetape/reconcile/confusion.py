"""The drift ledger beside a truth: what happened to which trade, and what the ledger says did.

Pure; does no I/O. The truth comes from whoever made things go wrong on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from truetape.market.resolution import Resolution
from truetape.reconcile.drift import Cause
from truetape.reconcile.drift_ledger import BarDrift

BarName = tuple[str, Resolution, int]
"""Symbol, resolution, start."""
Findings = Mapping[tuple[BarName, str], Cause]
"""The cause for which a trade changed a bar."""


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


def bars_of(symbol: str, event_ns: int, resolutions: Iterable[Resolution]) -> Iterator[BarName]:
    """Yield the bars that a trade falls into."""
    for resolution in resolutions:
        yield symbol, resolution, resolution.start_of(event_ns)
