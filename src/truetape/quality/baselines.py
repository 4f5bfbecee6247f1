"""Facts: what a session leaves behind about each symbol, to judge later sessions by. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, stdev

LEAST_SESSIONS = 5
"""With fewer earlier sessions nothing is called usual."""
SIGMA_FLOOR = 0.005
"""Least standard deviation of a symbol's nightly move: a quiet week makes no jump of a cent."""


@dataclass(frozen=True, slots=True)
class SymbolFacts:
    """One symbol in one session: trades in force, share of regular minutes without a bar, close."""

    trades: int
    missing_share: float
    close: float | None


History = Mapping[str, Sequence[SymbolFacts]]
"""By symbol, the facts of earlier sessions, oldest first."""


def usual_trades(earlier: Sequence[SymbolFacts]) -> float | None:
    """Return the median number of trades, None with too few sessions to tell."""
    return _median([float(one.trades) for one in earlier])


def usual_missing_share(earlier: Sequence[SymbolFacts]) -> float | None:
    """Return the median share of minutes without a bar, None with too few sessions to tell."""
    return _median([one.missing_share for one in earlier])


def gap_in_sigmas(earlier: Sequence[SymbolFacts], opened: float) -> float | None:
    """Return the move from the last close to this open, in standard deviations of daily moves.

    None without `LEAST_SESSIONS` moves. The sigma is of log returns, close to close.
    """
    closes = [one.close for one in earlier if one.close]
    if len(closes) <= LEAST_SESSIONS or opened <= 0:
        return None
    moves = [math.log(after / before) for before, after in pairwise(closes)]
    return abs(math.log(opened / closes[-1])) / max(stdev(moves), SIGMA_FLOOR)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if len(values) >= LEAST_SESSIONS else None
