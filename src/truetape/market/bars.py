"""The reference fold: canonical trades to bars, in exact decimals, in any order of arrival.

Does not run in production: `truetape.kernel.fold` does, and must give the same bytes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from truetape.market.canonical import CanonicalTrade
from truetape.market.eligibility import Eligibility, Profile
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.timeframe import Timeframe, timeframe_of
from truetape.market.trades import DECIMALS, LIMIT, OrderKey, Trade
from truetape.market.trades import notional as notional_of

VWAP_DECIMALS = DECIMALS
_EXACT = Context(prec=60)
_LONG = Context(prec=120, rounding=ROUND_HALF_EVEN)

Price = tuple[OrderKey, Decimal]


class SumTooLargeError(ValueError):
    """The volume or the sum of notionals of a bar has more digits than a number may have."""

    def __init__(self, symbol: str, venue: str, start_ns: int) -> None:
        super().__init__(symbol, venue, start_ns)
        self.symbol, self.venue, self.start_ns = symbol, venue, start_ns


@dataclass(frozen=True, slots=True)
class Tally:
    """The sums of a set of prints. Merging is associative and commutative, so roll-ups are exact.

    `notional` and `priced_volume` are the sums of notionals and sizes of the prints that count for
    both volume and high/low: their ratio is the tick VWAP.
    """

    first: Price | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    last: Price | None = None
    volume: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    priced_volume: Decimal = Decimal(0)
    trades: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, half-open from `start_ns`, UTC. A price is None if no print could set it.

    A bar is `filled` if it has no prints and repeats the close before it; see `timeframe.Fill`.
    """

    symbol: str
    venue: str
    resolution: Resolution | Timeframe
    start_ns: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    volume: Decimal
    vwap: Decimal | None
    trades: int
    filled: bool = False

    @property
    def is_served(self) -> bool:
        """True if the bar has all four prices. A bar without them only feeds roll-ups."""
        return None not in (self.open, self.high, self.low, self.close)


def tally(trade: Trade, eligibility: Eligibility) -> Tally:
    """Return the tally of one print."""
    price: Price | None = (trade.order, trade.price) if eligibility.open_close else None
    high_low = trade.price if eligibility.high_low else None
    size = trade.size if eligibility.volume else Decimal(0)
    priced = size if eligibility.high_low else Decimal(0)
    return Tally(
        first=price,
        high=high_low,
        low=high_low,
        last=price,
        volume=size,
        notional=notional_of(trade.price, priced),
        priced_volume=priced,
        trades=int(eligibility.volume),
    )


def merge(left: Tally, right: Tally) -> Tally:
    """Add the tallies of two disjoint sets of prints."""
    firsts = [price for price in (left.first, right.first) if price is not None]
    lasts = [price for price in (left.last, right.last) if price is not None]
    highs = [price for price in (left.high, right.high) if price is not None]
    lows = [price for price in (left.low, right.low) if price is not None]
    return Tally(
        first=min(firsts, default=None),
        high=max(highs, default=None),
        low=min(lows, default=None),
        last=max(lasts, default=None),
        volume=_EXACT.add(left.volume, right.volume),
        notional=_EXACT.add(left.notional, right.notional),
        priced_volume=_EXACT.add(left.priced_volume, right.priced_volume),
        trades=left.trades + right.trades,
    )


def bars(
    trades: Iterable[CanonicalTrade],
    profile: Profile,
    width: Resolution | Timeframe,
    sessions: Mapping[str, Iterable[Session]],
) -> list[Bar]:
    """Fold trades into bars of one width, ordered by symbol, venue and start.

    `sessions` are sessions by venue code, for `1w` and `1M` those of whole weeks and months; bars
    narrower than a day need them only with `Origin.OPEN`. A bar of whole sessions takes the prints
    of their regular parts and their auction prints (`Session.is_in_day`), whenever these were
    reported. Bars without an eligible price are included: see `Bar.is_served`. Raise
    SumTooLargeError if a sum does not fit.
    """
    timeframe = timeframe_of(width) if isinstance(width, Resolution) else width
    by_venue = {code: _Starts(timeframe, list(days)) for code, days in sessions.items()}
    no_sessions = _Starts(timeframe, [])
    tallies: dict[tuple[str, str, int], Tally] = defaultdict(Tally)
    for item in trades:
        trade = item.trade
        if not item.counts:
            continue
        eligibility = profile.judge(trade.conditions, trade.tape)
        start = by_venue.get(trade.venue, no_sessions).of(trade.event_ns, eligibility)
        if start is not None:
            key = (trade.symbol, trade.venue, start)
            tallies[key] = merge(tallies[key], tally(trade, eligibility))
    ordered = sorted(tallies.items())
    for key, total in ordered:
        require_fit(total, *key)
    return [_bar(*key[:2], width, key[2], total) for key, total in ordered]


def require_fit(total: Tally, symbol: str, venue: str, start_ns: int) -> None:
    """Raise SumTooLargeError if a sum of a bar has more than `trades.WHOLE_DIGITS` digits."""
    if max(total.volume.copy_abs(), total.notional.copy_abs()) >= LIMIT:
        raise SumTooLargeError(symbol, venue, start_ns)


class _Starts:
    """Where the bars of a venue start."""

    def __init__(self, timeframe: Timeframe, sessions: list[Session]) -> None:
        self._timeframe = timeframe
        self._sessions = sessions
        self._periods = {} if timeframe.width_ns else timeframe.period_starts(sessions)

    def of(self, event_ns: int, eligibility: Eligibility) -> int | None:
        """Return the start of the bar that takes a print, None if no bar does."""
        if not self._timeframe.needs_sessions:
            return self._timeframe.start_of(event_ns)
        session = next((day for day in self._sessions if day.contains(event_ns)), None)
        if session is None:
            return None
        if self._timeframe.width_ns is not None:
            return self._timeframe.start_of(event_ns, session)
        belongs = session.is_in_day(event_ns, auction=eligibility.auction)
        return self._periods.get(session.date) if belongs else None


def _bar(
    symbol: str, venue: str, width: Resolution | Timeframe, start_ns: int, total: Tally
) -> Bar:
    return Bar(
        symbol=symbol,
        venue=venue,
        resolution=width,
        start_ns=start_ns,
        open=total.first[1] if total.first else None,
        high=total.high,
        low=total.low,
        close=total.last[1] if total.last else None,
        volume=total.volume,
        vwap=vwap(total.notional, total.priced_volume),
        trades=total.trades,
    )


def vwap(notional: Decimal, priced_volume: Decimal) -> Decimal | None:
    """Divide exactly, then round half-even to 18 decimals. Return None without priced volume."""
    if not priced_volume:
        return None
    return half_even_quotient(notional, priced_volume, VWAP_DECIMALS)


def half_even_quotient(numerator: Decimal, denominator: Decimal, decimals: int) -> Decimal:
    """Return numerator / denominator, rounded half-even to `decimals` places exactly once.

    A quotient of numbers of up to 38 digits is a tie, or differs from a tie by more than 10^-60.
    Cutting it to 120 digits first therefore changes nothing.
    """
    quotient = _LONG.divide(numerator, denominator)
    return quotient.quantize(Decimal(1).scaleb(-decimals), context=_LONG)
