"""Which bars a program asks for. Reads none."""

from collections.abc import Sequence
from dataclasses import dataclass

from truetape.history.period import Period
from truetape.market.timeframe import Fill, Timeframe


@dataclass(frozen=True, slots=True)
class BarSelection:
    """The bars that a program asks for; None for symbols means all.

    `exact`: from the lake, as decimals.
    """

    timeframe: Timeframe
    period: Period
    symbols: Sequence[str] | None = None
    venue: str | None = None
    final_only: bool = False
    as_of_ns: int | None = None
    fill: Fill = Fill.NONE
    exact: bool = False
