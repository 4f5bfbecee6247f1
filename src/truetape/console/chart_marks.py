"""Marks of changed bars: what a publication changed in each, by how much, and why.

Reads the drift ledger; a bar whose provisional values were right has no mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from truetape.drift.ledger import BarDrift, DriftLedger, combine
from truetape.history.timeframe_bars import BarReader
from truetape.market.sessions import Venue
from truetape.publish.diff import Change
from truetape.serving.store import ServedBar

PRICES = ("open", "high", "low", "close")
PRICE_STEPS = (0.0001, 0.0005)
"""A price that changed by less than the first share is a small change, by less than the second a
medium one: 1 and 5 basis points."""
VOLUME_STEPS = (0.01, 0.1)
"""The same for volume."""


class ChangeKind(StrEnum):
    """What of a bar changed: a price, or only sums such as the volume."""

    PRICE = "price"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Mark:
    """What changed in a bar. `size` is 1 to 3. `before` has the values of the fields that changed,
    as they were first shown; it is empty for a rolled-up bar, and `is_new` if nothing was shown.
    """

    causes: str
    kind: ChangeKind
    size: int
    before: dict[str, float]
    is_new: bool

    def as_dict(self) -> dict[str, object]:
        """Return the mark for `chart.js`."""
        return {
            "causes": self.causes,
            "kind": self.kind.value,
            "size": self.size,
            "before": self.before,
            "isNew": self.is_new,
        }


def marks_of(
    reader: BarReader, venue: Venue, symbol: str, bars: Sequence[ServedBar]
) -> dict[int, Mark]:
    """Return the mark of each bar that a publication changed, or a part of it, by its start."""
    first, last = venue.date_of(bars[0].start_ns), venue.date_of(bars[-1].start_ns)
    last = reader.timeframe.dates_around(last)[1]
    source = reader.source(venue.code, bars[-1].start_ns)
    changes: dict[int, dict[int, BarDrift]] = {}
    for entry in DriftLedger(reader.settings.lake).between(first, last, venue.code, symbol):
        if entry.resolution is source:
            parts = changes.setdefault(reader.start_of(venue.code, entry.start_ns, source), {})
            known = parts.get(entry.start_ns)
            parts[entry.start_ns] = entry if known is None else combine(known, entry)
    shown = {bar.start_ns for bar in bars}
    return {
        start: _mark(list(parts.values()), is_stored=reader.is_stored)
        for start, parts in changes.items()
        if start in shown
    }


def _mark(parts: Sequence[BarDrift], *, is_stored: bool) -> Mark:
    """Return the mark of a bar made of these changed parts; of a stored bar it is the only one."""
    causes = dict.fromkeys(cause.value for part in parts for cause in part.causes)
    price = max(_share(part, PRICES) for part in parts)
    volume = max(_share(part, ("volume", "trades")) for part in parts)
    kind = ChangeKind.PRICE if price else ChangeKind.VOLUME
    share, steps = (price, PRICE_STEPS) if price else (volume, VOLUME_STEPS)
    before = {drift.field: float(drift.before) for drift in parts[0].fields if drift.delta}
    return Mark(
        ", ".join(causes),
        kind,
        1 + sum(share >= step for step in steps),
        before if is_stored else {},
        is_stored and parts[0].change is Change.ADD,
    )


def _share(part: BarDrift, fields: Sequence[str]) -> float:
    """Return the largest change of these fields, as a share of the larger value."""
    return max(
        (
            abs(float(drift.delta)) / max(abs(float(drift.before)), abs(float(drift.after)))
            for drift in part.fields
            if drift.field in fields and drift.delta
        ),
        default=0.0,
    )
