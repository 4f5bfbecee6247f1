"""Indicators of consecutive bars, computed with TA-Lib; the only import of it. Stores nothing.

Conventions (docs/adr/0003): EMA seeded with the SMA of its first bars, RSI after Wilder, Bollinger
with the population's deviation, MACD as the difference of two such EMAs.
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
    """What the indicators read of one served bar; `session_ns` is the start of its session.

    `vwap` is 0 where the bar has no priced volume, as it is served.
    """

    start_ns: int
    session_ns: int
    close: float
    volume: float
    vwap: float


@dataclass(frozen=True, slots=True)
class IndicatorValues:
    """The indicators of one bar, by name; one that needs more bars than there are is absent."""

    start_ns: int
    values: Mapping[str, float]


def indicators(samples: Sequence[IndicatorInput]) -> list[IndicatorValues]:
    """Compute every indicator of consecutive served bars of one symbol, venue and resolution.

    The bars must be in order of start. An EMA remembers all of them, so a history cut short gives
    slightly other values: give it some hundred bars before those that are wanted. Not NaN and not 0
    but absent until enough bars exist. Raises ValueError for bars out of order.
    """
    if any(b.start_ns <= a.start_ns for a, b in pairwise(samples)):
        raise ValueError("indicators need bars in order of their start, each once")
    if not samples:
        return []
    columns = _of_closes([sample.close for sample in samples])
    columns["session_vwap"] = session_vwap(samples)
    return [
        IndicatorValues(
            sample.start_ns,
            {
                name: value
                for name in INDICATOR_NAMES
                if (value := columns[name][place]) is not None
            },
        )
        for place, sample in enumerate(samples)
    ]


def session_vwap(samples: Sequence[IndicatorInput]) -> list[float | None]:
    """Return the running VWAP of each session: bar VWAPs weighted with the bars' volume.

    A bar without priced volume adds nothing; before the first one that has some there is no value.
    """
    running: list[float | None] = []
    session, notional, volume = None, 0.0, 0.0
    for sample in samples:
        if sample.session_ns != session:
            session, notional, volume = sample.session_ns, 0.0, 0.0
        if sample.vwap > 0:
            notional += sample.vwap * sample.volume
            volume += sample.volume
        running.append(notional / volume if volume > 0 else None)
    return running


def sma(closes: Sequence[float], period: int) -> list[float | None]:
    """Return the simple moving average, None until `period` closes exist."""
    import talib

    return _present(talib.SMA(_series(closes), period))


def ema(closes: Sequence[float], period: int) -> list[float | None]:
    """Return the exponential moving average, seeded with the SMA of the first `period` closes."""
    import talib

    return _present(talib.EMA(_series(closes), period))


def _of_closes(closes: Sequence[float]) -> dict[str, list[float | None]]:
    import numpy as np
    import talib

    series = _series(closes)
    fast, slow = talib.EMA(series, _FAST), talib.EMA(series, _SLOW)
    # talib.MACD starts its fast EMA at bar 15, so that both EMAs begin together; against published
    # series that is off by up to 6 index points in the first bars
    line = fast - slow
    signal = np.full_like(line, np.nan)
    signal[_SLOW - 1 :] = talib.EMA(line[_SLOW - 1 :], 9)
    upper, middle, lower = talib.BBANDS(series, 20, 2.0, 2.0, 0)
    return {
        "sma_20": sma(closes, 20),
        "sma_50": sma(closes, 50),
        "ema_12": _present(fast),
        "ema_26": _present(slow),
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
