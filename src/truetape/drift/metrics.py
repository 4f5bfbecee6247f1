"""Drift as metrics: the changes of a publication, summed by cause and resolution.

Writes nothing: `drift.recorder` writes the points.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from truetape.drift.attribution import Cause
from truetape.drift.ledger import BarDrift
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Change
from truetape.serving.store import Point

BASIS_POINTS = 10_000


@dataclass(slots=True)
class _Sum:
    bars: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    max_abs_bps: float = 0.0
    volume: Decimal = Decimal(0)


@dataclass(slots=True)
class DriftMetrics:
    """Sums over the bars of one publication; stores no bar."""

    bars: int = 0
    unexplained: int = 0
    _sums: dict[tuple[Cause, Resolution], _Sum] = field(default_factory=lambda: defaultdict(_Sum))

    def add(self, entry: BarDrift) -> None:
        """Add one bar to the sum of each of its causes."""
        causes = entry.causes
        self.bars += 1
        self.unexplained += Cause.UNEXPLAINED in causes
        for cause in causes:
            total = self._sums[cause, entry.resolution]
            total.bars += 1
            total.changed += entry.change is Change.CHANGE
            total.missing += entry.change is Change.ADD
            total.extra += entry.change is Change.VOID
            total.max_abs_bps = max(total.max_abs_bps, _close_bps(entry, cause))
            total.volume += _delta(entry, cause, "volume")

    def points(self, session: Session, rev: int, now_ns: int) -> Iterator[Point]:
        """Yield a point for each cause and resolution."""
        for (cause, resolution), total in self._sums.items():
            yield Point(
                "drift",
                {"cause": str(cause), "resolution": resolution.value, "venue": session.venue},
                now_ns,
                {
                    "session": session.date.isoformat(),
                    "rev": rev,
                    "bars": total.bars,
                    "changed": total.changed,
                    "missing": total.missing,
                    "extra": total.extra,
                    "max_abs_bps": total.max_abs_bps,
                    "volume": float(total.volume),
                },
            )


def _close_bps(entry: BarDrift, cause: Cause) -> float:
    closes = [drift.before for drift in entry.fields if drift.field == "close"]
    if not closes or not closes[0]:
        return 0.0
    return float(abs(_delta(entry, cause, "close") / closes[0]) * BASIS_POINTS)


def _delta(entry: BarDrift, cause: Cause, name: str) -> Decimal:
    parts = (part for drift in entry.fields if drift.field == name for part in drift.parts)
    return sum((part.delta for part in parts if part.cause is cause), Decimal(0))
