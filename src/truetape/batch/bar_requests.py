"""Which bars a reader of trade files asks for, and their fold by the kernel or by the reference.

Reads no files and prints nothing: `file_bars` and `bar_lines` do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from truetape.feeds.native import iso
from truetape.host.errors import ConfigError
from truetape.host.timeframes import LAST_NS, sessions_for, starts_between
from truetape.host.venues import venues
from truetape.market import amount_bars as by_amount
from truetape.market import bars as by_time
from truetape.market.amount_bars import Amount, AmountBar
from truetape.market.bars import Bar, SumTooLargeError
from truetape.market.canonical import CanonicalTrade
from truetape.market.eligibility import Profile
from truetape.market.filling import filled
from truetape.market.timeframe import Fill, Timeframe

if TYPE_CHECKING:
    import pyarrow

MAX_BARS = 5_000_000
"""Most bars with filled ones of one request: all are in memory at once, about 500 bytes each."""

FileBar = Bar | AmountBar


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Bars of a timeframe, with empty intervals or without, or bars by amount.

    No interval is filled that ends after `known_until_ns`.
    """

    width: Timeframe | Amount
    fill: Fill = Fill.NONE
    known_until_ns: int = LAST_NS


def fold_by_reference(
    trades: Sequence[CanonicalTrade], profile: Profile, request: BarRequest
) -> list[FileBar]:
    """Fold canonical trades in order; return the bars that have all prices.

    Raise ConfigError if a sum does not fit.
    """
    try:
        return _folded_by_reference(trades, profile, request)
    except SumTooLargeError as error:
        from truetape.kernel.bounds import sum_too_large

        which = f"from {iso(error.start_ns)}"
        raise sum_too_large(error.venue, error.symbol, which) from None


def _folded_by_reference(
    trades: Sequence[CanonicalTrade], profile: Profile, request: BarRequest
) -> list[FileBar]:
    known, width = venues(), request.width
    if isinstance(width, Amount):
        folded = by_amount.amount_bars(trades, profile, width, known)
        return [bar for bar in folded if bar.is_served]
    days = (
        (item.trade.venue, known[item.trade.venue].date_of(item.trade.event_ns))
        for item in trades
        if width.needs_sessions
    )
    bars = by_time.bars(trades, profile, width, sessions_for(width, days))
    return list(_filled((bar for bar in bars if bar.is_served), width, request))


def fold_by_kernel(trades: "pyarrow.Table", request: BarRequest) -> list[FileBar]:
    """Fold settled and judged trades, as `fold_by_reference` does."""
    from truetape.kernel import amount_bars, fold

    width = request.width
    if isinstance(width, Amount):
        made = amount_bars.amount_bars(trades, width)
        return [AmountBar(**row) for row in made.filter(fold.is_served(made)).to_pylist()]
    days = (
        trades.group_by(["venue", "session"]).aggregate([]).to_pylist()
        if width.needs_sessions
        else ()
    )
    sessions = sessions_for(width, ((day["venue"], day["session"]) for day in days))
    table = fold.bars(trades, width, sessions)
    rows = table.filter(fold.is_served(table)).to_pylist()
    return list(_filled((Bar(resolution=width, **row) for row in rows), width, request))


def _filled(bars: Iterable[Bar], width: Timeframe, request: BarRequest) -> Iterator[FileBar]:
    if request.fill is Fill.NONE:
        yield from bars
        return
    starts = partial(starts_between, width, known_until_ns=request.known_until_ns)
    for number, bar in enumerate(filled(bars, starts, _empty)):
        if number == MAX_BARS:
            raise ConfigError(
                f"more than {MAX_BARS:,} bars with the filled ones; choose a wider resolution, or "
                "a symbol with --symbol"
            )
        yield bar


def _empty(before: Bar, start_ns: int, _: Bar | None) -> Bar:
    close = before.close
    return replace(
        before, start_ns=start_ns, open=close, high=close, low=close, close=close,
        volume=Decimal(0), vwap=None, trades=0, filled=True,
    )  # fmt: skip
