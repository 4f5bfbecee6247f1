"""Indicators of consecutive bars, computed with TA-Lib; the only module that imports it.

Stores nothing. Conventions (docs/adr/0003): EMA seeded with the SMA of its first bars, RSI after
Wilder, Bollinger with the population's deviation, MACD as the difference of two such EMAs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from truetape.serving.schema import INDICATOR_NAMES

if TYPE_CHECKING:
    import numpy as np

    Series = np.ndarray[tuple[int], np.dtype[np.float64]]


_FAST, _SLOW = 12, 26


@dataclass(frozen=True, slots=True)
class IndicatorInput:
    """The values of one served bar that indicators use; `session_ns` is its session's start.

    `vwap` is 0 if the bar has no priced volume, as in the served row.
    """

    start_ns: int
    session_ns: int
    close: float
    volume: float
    vwap: float


@dataclass(frozen=True, slots=True)
class IndicatorValues:
    """The indicators of one bar by name; an indicator that needs more bars is absent."""

    start_ns: int
    values: Mapping[str, float]


def indicators(bars: Sequence[IndicatorInput]) -> list[IndicatorValues]:
    """Compute every indicator of consecutive served bars of one symbol, venue and resolution.

    An EMA remembers all earlier bars, so a short history gives slightly different values: pass a
    few hundred bars before the first one you need. An indicator is absent, neither NaN nor 0, until
    there are enough bars. Raise ValueError if the bars are not in order of start.
    """
    if any(b.start_ns <= a.start_ns for a, b in pairwise(bars)):
        raise ValueError("indicators need bars in order of their start, each once")
    if not bars:
        return []
    columns = _close_indicators([bar.close for bar in bars])
    columns["session_vwap"] = session_vwap(bars)
    return [
        IndicatorValues(
            bar.start_ns,
            {
                name: value
                for name in INDICATOR_NAMES
                if (value := columns[name][place]) is not None
            },
        )
        for place, bar in enumerate(bars)
    ]


def session_vwap(bars: Sequence[IndicatorInput]) -> list[float | None]:
    """Return the running VWAP of each session: bar VWAPs weighted by the bars' volume.

    A bar without priced volume adds nothing; the value is None until a bar has priced volume.
    """
    running: list[float | None] = []
    session, notional, volume = None, 0.0, 0.0
    for bar in bars:
        if bar.session_ns != session:
            session, notional, volume = bar.session_ns, 0.0, 0.0
        if bar.vwap > 0:
            notional += bar.vwap * bar.volume
            volume += bar.volume
        running.append(notional / volume if volume > 0 else None)
    return running


def sma(closes: Sequence[float], period: int) -> list[float | None]:
    """Return the simple moving average; None until there are `period` closes."""
    import talib

    return _present(talib.SMA(_series(closes), period))


def ema(closes: Sequence[float], period: int) -> list[float | None]:
    """Return the exponential moving average, seeded with the SMA of the first `period` closes."""
    import talib

    return _present(talib.EMA(_series(closes), period))


def _close_indicators(closes: Sequence[float]) -> dict[str, list[float | None]]:
    import numpy as np
    import talib

    series = _series(closes)
    fast, slow = talib.EMA(series, _FAST), talib.EMA(series, _SLOW)
    # talib.MACD starts its fast EMA at bar 15, so that both EMAs begin together; its first bars
    # differ from published series by up to 6 index points
    line = fast - slow
    signal = np.full_like(line, np.nan)
    signal[_SLOW - 1 :] = talib.EMA(line[_SLOW - 1 :], 9)
    upper, middle, lower = talib.BBANDS(series, 20, 2.0, 2.0, 0)
    return {
        "sma_20": sma(closes, 20),
        "sma_50": sma(closes, 50),
        "ema_12": ema(closes, _FAST),
        "ema_26": ema(closes, _SLOW),
        "rsi_14": _present(talib.RSI(series, 14)),
        "macd": _present(line),
        "macd_signal": _present(signal),
        "macd_histogram": _present(line - signal),
        "bollinger_upper": _present(upper),
        "bollinger_middle": _present(middle),
        "bollinger_lower": _present(lower),
    }


def _series(closes: Sequence[float]) -> "Series":
    import numpy as np

    return np.asarray(closes, dtype=np.float64)


def _present(column: "Series") -> list[float | None]:
    """Turn TA-Lib's NaN for "not yet" into None."""
    return [value if value == value else None for value in column.tolist()]  # noqa: PLR0124 - NaN
