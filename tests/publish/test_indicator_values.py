"""Indicators: against series that others computed, by hand, and absent until they exist.

Not compared, because another convention or an indicator that is not served: in
`spy_with_indicators.txt` the columns `RSI 14` (Cutler, not Wilder) and `OBV`; `spy_with_obv.txt`,
`spy_with_vwma.csv` (VWMA); `spy_with_vwap.txt` (a moving VWAP of (O+H+L+C)/4 over 50 bars, not a
session's tick VWAP); `spy_10_min.txt` (bars without indicators).
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from support.data import real_data
from truetape.publish.indicator_values import IndicatorInput, ema, indicators, session_vwap, sma
from truetape.serving.schema import INDICATOR_NAMES

if TYPE_CHECKING:
    from truetape.publish.indicator_values import Series

VECTORS = "lean_indicator_vectors"


def table(name: str) -> dict[str, list[float | None]]:
    """Read the columns of a vector file; empty and NaN cells are None."""
    with real_data(VECTORS, name).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        column: [None if row[column] in ("", "NaN") else float(row[column]) for row in rows]
        for column in rows[0]
        if column not in ("Date", "time")
    }


def inputs(closes: Sequence[float | None]) -> IndicatorInput:
    assert None not in closes
    prices, ones = np.array(closes, dtype=np.float64), np.ones(len(closes))
    return IndicatorInput(np.arange(len(closes)), np.zeros(len(closes), int), prices, ones, prices)


def present(series: "Series") -> list[float | None]:
    """Return a series with None where it has no value."""
    return [None if np.isnan(value) else value for value in series.tolist()]


def column(closes: Sequence[float | None], name: str) -> list[float | None]:
    return present(indicators(inputs(closes))[name])


def assert_close(
    ours: list[float | None], theirs: list[float | None], tolerance: float, least: int
) -> None:
    """Compare two series wherever the published one has values: at least `least` of them."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if b is not None]
    assert len(pairs) >= least
    assert all(a is not None and abs(a - b) <= tolerance for a, b in pairs)


class Vector(NamedTuple):
    """A published column of values, and the precision with which it is printed."""

    file: str
    column: str
    name: str
    tolerance: float
    least: int
    """The number of values in the column."""


BOLLINGER, INDICATORS = "spy_bollinger_bands.txt", "spy_with_indicators.txt"
COLUMNS = (
    Vector(BOLLINGER, "Moving Average 20", "sma_20", 1e-9, 481),
    Vector(BOLLINGER, "Moving Average 20", "bollinger_middle", 1e-9, 481),
    Vector(BOLLINGER, "Bollinger Bands® 20 2 Top", "bollinger_upper", 1e-4, 481),
    Vector(BOLLINGER, "Bollinger Bands® 20 2 Bottom", "bollinger_lower", 1e-4, 481),
    Vector(INDICATORS, "MACD 12 26", "macd", 2e-4, 475),
    Vector(INDICATORS, "RSI 14 Wilder", "rsi_14", 5e-6, 486),
)
LATE_COLUMNS = (
    Vector("spy_with_macd.txt", "MACD", "macd", 5e-6, 183),
    Vector("spy_with_macd.txt", "Signal", "macd_signal", 6e-6, 183),
    Vector("spy_with_macd.txt", "Histogram", "macd_histogram", 6e-6, 183),
)
"""The source prints values only from row 180 on; the indicator exists from row 26 or 34."""


@pytest.mark.data
@pytest.mark.parametrize("vector", COLUMNS + LATE_COLUMNS, ids=lambda vector: vector.column)
def test_an_indicator_equals_a_published_series(vector: Vector) -> None:
    """Tolerances are the printed precision; the MACD of the index is printed to 7 digits."""
    others = table(vector.file)
    ours, theirs = column(others["Close"], vector.name), others[vector.column]

    assert_close(ours, theirs, vector.tolerance, vector.least)
    if vector in COLUMNS:
        assert [value is None for value in ours] == [value is None for value in theirs]


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "close", "other", "average", "tolerance"),
    [
        ("spy_ema.csv", "close", "EMA14", ema, 1e-12),
        ("spy_with_indicators.txt", "Close", "EMA14", ema, 0.01),
        ("spy_with_indicators.txt", "Close", "SMA14", sma, 0.01),
    ],
    ids=["ema, all digits", "ema, two decimals", "sma, two decimals"],
)
def test_averages_of_other_periods_follow_the_same_convention(
    file: str,
    close: str,
    other: str,
    average: "Callable[[Series, int], Series]",
    tolerance: float,
) -> None:
    vectors = table(file)
    closes = [value for value in vectors[close] if value is not None]
    ours = present(average(np.array(closes), 14))

    assert_close(ours, vectors[other], tolerance, 351)
    assert [value is None for value in ours] == [value is None for value in vectors[other]]


FIRST_BAR = {
    "sma_20": 20,
    "sma_50": 50,
    "ema_12": 12,
    "ema_26": 26,
    "rsi_14": 15,
    "macd": 26,
    "macd_signal": 34,
    "macd_histogram": 34,
    "bollinger_upper": 20,
    "bollinger_middle": 20,
    "bollinger_lower": 20,
    "session_vwap": 1,
}


@pytest.mark.parametrize("name", INDICATOR_NAMES)
def test_an_indicator_is_absent_until_enough_bars_exist(name: str) -> None:
    closes: list[float | None] = [100.0 + (n % 7) for n in range(60)]
    values = column(closes, name)

    assert [value is None for value in values] == [n < FIRST_BAR[name] - 1 for n in range(60)]
    for count in range(1, 52):
        assert len(column(closes[:count], name)) == count


def test_averages_equal_values_computed_by_hand() -> None:
    closes = np.array([1.0, 2.0, 6.0, 4.0])

    assert present(sma(closes, 3)) == [None, None, 3.0, 4.0]
    assert present(ema(closes, 3)) == [None, None, 3.0, 3.5]


def test_macd_is_the_difference_of_its_emas_once_both_exist() -> None:
    values = indicators(inputs([float(n * n % 89) for n in range(40)]))

    assert values["macd"][25] == values["ema_12"][25] - values["ema_26"][25]


def test_bollinger_bands_use_the_population_deviation() -> None:
    """19 closes of 10 and one of 30: mean 11, variance (19 x 1 + 361) / 20 = 19."""
    values = indicators(inputs([10.0] * 19 + [30.0]))

    assert values["bollinger_middle"][19] == pytest.approx(11)
    assert values["bollinger_upper"][19] == pytest.approx(11 + 2 * 19**0.5)
    assert values["bollinger_lower"][19] == pytest.approx(11 - 2 * 19**0.5)


def test_session_vwap_weights_bars_by_volume_and_restarts_with_each_session() -> None:
    bars = IndicatorInput(
        start_ns=np.array([1, 2, 3, 4, 5, 6]),
        session_ns=np.array([1, 1, 1, 1, 5, 6]),
        close=np.full(6, 9.0),
        volume=np.array([100.0, 100.0, 300.0, 500.0, 1.0, 0.0]),
        vwap=np.array([0.0, 10.0, 20.0, 0.0, 4.0, 0.0]),
    )

    assert present(session_vwap(bars)) == [None, 10.0, 17.5, 17.5, 4.0, None]


def test_without_bars_there_are_no_indicators() -> None:
    assert indicators(inputs([])) == {}


@pytest.mark.parametrize("starts", [(2, 1), (1, 1)], ids=["backwards", "twice"])
def test_bars_out_of_order_are_refused(starts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="order of their start"):
        indicators(replace(inputs([1.0, 1.0]), start_ns=np.array(starts)))
