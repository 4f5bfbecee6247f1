"""Indicators of consecutive bars, computed with TA-Lib; the only module that imports it.

Stores nothing. Conventions (docs/adr/0003): EMA seeded with the SMA of its first bars, RSI after
Wilder, Bollinger with the population's deviation, MACD as the difference of two such EMAs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    Series = np.ndarray[tuple[int], np.dtype[np.float64]]
    Instants = np.ndarray[tuple[int], np.dtype[np.int64]]

_FAST, _SLOW = 12, 26


@dataclass(frozen=True, slots=True)
class IndicatorInput:
    """The columns of served bars that indicators use; `session_ns` are their sessions' starts.

    `vwap` is 0 if a bar has no priced volume, as in the served row.
    """

    start_ns: "Instants"
    session_ns: "Instants"
    close: "Series"
    volume: "Series"
    vwap: "Series"


def indicators(bars: IndicatorInput) -> dict[str, "Series"]:
    """Compute every indicator of consecutive served bars of one symbol, venue and resolution.

    An EMA remembers all earlier bars, so a short history gives slightly different values: pass a
    few hundred bars before the first one you need. An indicator is NaN until there are enough bars.
    Raise ValueError if the bars are not in order of start.
    """
    if (np.diff(bars.start_ns) <= 0).any():
        raise ValueError("indicators need bars in order of their start, each once")
    if not len(bars.close):
        return {}
    return {**_close_indicators(bars.close), "session_vwap": session_vwap(bars)}


def session_vwap(bars: IndicatorInput) -> "Series":
    """Return the running VWAP of each session: bar VWAPs weighted by the bars' volume.

    A bar without priced volume adds nothing; the value is NaN until a bar has priced volume.
    """
    volume = np.where(bars.vwap > 0, bars.volume, 0.0)
    notional = bars.vwap * volume
    running = np.full_like(volume, np.nan)
    begins = np.flatnonzero(np.diff(bars.session_ns)) + 1
    for part in map(slice, [0, *begins.tolist()], [*begins.tolist(), len(volume)]):
        total = np.cumsum(volume[part])
        np.divide(np.cumsum(notional[part]), total, out=running[part], where=total > 0)
    return running


def sma(closes: "Series", period: int) -> "Series":
    """Return the simple moving average; NaN until there are `period` closes."""
    import talib

    average: Series = talib.SMA(closes, period)
    return average


def ema(closes: "Series", period: int) -> "Series":
    """Return the exponential moving average, seeded with the SMA of the first `period` closes."""
    import talib

    average: Series = talib.EMA(closes, period)
    return average


def _close_indicators(closes: "Series") -> dict[str, "Series"]:
    import talib

    fast, slow = ema(closes, _FAST), ema(closes, _SLOW)
    # talib.MACD starts its fast EMA at bar 15, so that both EMAs begin together; its first bars
    # differ from published series by up to 6 index points
    line = fast - slow
    signal = np.full_like(line, np.nan)
    signal[_SLOW - 1 :] = talib.EMA(line[_SLOW - 1 :], 9)
    upper, middle, lower = talib.BBANDS(closes, 20, 2.0, 2.0, 0)
    return {
        "sma_20": sma(closes, 20),
        "sma_50": sma(closes, 50),
        "ema_12": fast,
        "ema_26": slow,
        "rsi_14": talib.RSI(closes, 14),
        "macd": line,
        "macd_signal": signal,
        "macd_histogram": line - signal,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
    }
