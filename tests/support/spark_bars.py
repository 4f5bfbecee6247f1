"""Spark's bars as exact text: two bars are equal if their bytes are."""

from typing import TYPE_CHECKING

from truetape.market.bars import Bar
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    from pyspark.sql import Row


def bar_of(row: "Row") -> Bar:
    """Return a row of recomputed bars as the reference's bar."""
    return Bar(
        row.symbol, row.venue, Resolution(row.resolution), row.start_ns,
        row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades,
    )  # fmt: skip


def text_of(bar: Bar) -> str:
    """Return symbol, resolution, start, six numbers, trades; empty for missing values."""
    numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap)
    exact = ["" if number is None else f"{number.normalize():f}" for number in numbers]
    place = [bar.symbol, bar.resolution.value, str(bar.start_ns)]
    return "|".join([*place, *exact, str(bar.trades)])
