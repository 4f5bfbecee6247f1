"""Baselines: facts about each symbol of a session, which later sessions are compared with. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, stdev

LEAST_SESSIONS = 5
"""With fewer earlier sessions there is no usual value."""
SIGMA_FLOOR = 0.005
"""Lower bound of a symbol's standard deviation, so that a cent after a quiet week is no jump."""


@dataclass(frozen=True, slots=True)
class SymbolFacts:
    """One symbol in one session: trades in force, share of regular minutes without a bar, close."""

    trades: int
    missing_share: float
    close: float | None


History = Mapping[str, Sequence[SymbolFacts]]
"""The facts of earlier sessions by symbol, oldest first."""


def usual_trades(earlier: Sequence[SymbolFacts]) -> float | None:
    """Return the median number of trades, None if there are too few sessions."""
    return _median([float(facts.trades) for facts in earlier])


def usual_missing_share(earlier: Sequence[SymbolFacts]) -> float | None:
    """Return the median share of minutes without a bar, None if there are too few sessions."""
    return _median([facts.missing_share for facts in earlier])


def gap_in_sigmas(earlier: Sequence[SymbolFacts], opened: float) -> float | None:
    """Return the move from the last close to this open, in standard deviations of daily moves.

    Return None if there are fewer than `LEAST_SESSIONS` moves. Sigma: log returns, close to close.
    """
    closes = [facts.close for facts in earlier if facts.close]
    if len(closes) <= LEAST_SESSIONS or opened <= 0:
        return None
    moves = [math.log(after / before) for before, after in pairwise(closes)]
    return abs(math.log(opened / closes[-1])) / max(stdev(moves), SIGMA_FLOOR)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if len(values) >= LEAST_SESSIONS else None
