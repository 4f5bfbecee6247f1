"""Verification: the served bars of a session compared with the bars that must be served.

Reads every bar; repairs nothing.
"""

from dataclasses import dataclass

from truetape.lake.bars import read_session_bars
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import final
from truetape.publish.publication import TargetBars, read_session
from truetape.serving.store import BarStore, ServedBar


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row that differs between served and recomputed bars; a missing side is None."""

    resolution: Resolution
    served: ServedBar | None
    recomputed: ServedBar | None


def verify(lake: str, store: BarStore, session: Session) -> tuple[int, list[Mismatch]]:
    """Compare the served bars of a session with the recomputed ones; see `compare_served`."""
    return compare_served(store, read_session_bars(lake, session))


def compare_served(store: BarStore, target: TargetBars) -> tuple[int, list[Mismatch]]:
    """Compare the served bars with the target; return the number of rows compared, and mismatches.

    A served row must be final, of the batch layer and equal in every value. A void row matches no
    target bar.
    """
    compared, mismatches = 0, []
    for resolution in Resolution:
        served = {bar.key: bar for bar in read_session(store, resolution, target.session)}
        for bar in target.bars(resolution):
            compared += 1
            row = served.pop(bar.key, None)
            if row is None or row != final(bar, row.rev):
                mismatches.append(Mismatch(resolution, row, bar))
        mismatches += [Mismatch(resolution, row, None) for row in served.values() if not row.void]
    return compared, mismatches
