"""Bars by amount instead of time: tick, volume and dollar bars, folded by the reference.

A bar ends with the print that brings it to the amount: the "standard bars" of M. López de Prado,
Advances in Financial Machine Learning (2018), section 2.3.1. `kernel.amount_bars` is the twin.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from enum import StrEnum
from itertools import groupby

from truetape.market.bars import Tally, merge, require_fit, tally, vwap
from truetape.market.canonical import CanonicalTrade
from truetape.market.eligibility import Profile
from truetape.market.sessions import Venue
from truetape.market.trades import DECIMALS, LIMIT, Trade, notional


class Measure(StrEnum):
    """What a bar adds up, over the prints that count for its volume."""

    TRADES = "trades"
    VOLUME = "volume"
    NOTIONAL = "notional"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a measure ends a bar, such as trades=500."""

    measure: Measure
    least: Decimal

    def __str__(self) -> str:
        """Return the amount as it is written, without an exponent."""
        return f"{self.measure}={self.least:f}"

    @property
    def units(self) -> int:
        """Return the amount as a number of its smallest steps, 10^-18 each."""
        return int(_EXACT.scaleb(self.least, DECIMALS))

    def of(self, trade: Trade) -> Decimal:
        """Return what a print that counts for volume adds; a negative price adds as a positive."""
        match self.measure:
            case Measure.TRADES:
                return Decimal(1)
            case Measure.VOLUME:
                return trade.size.copy_abs()
            case Measure.NOTIONAL:
                return notional(trade.price, trade.size).copy_abs()


@dataclass(frozen=True, slots=True)
class AmountBar:
    """One bar of an amount. `seq` is its place in the session, from 0.

    `start_ns` and `end_ns` are the times of its first and its last print; bars that follow each
    other within one instant share them. A price is None if no print could set it.
    """

    symbol: str
    venue: str
    session: date
    seq: int
    start_ns: int
    end_ns: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    volume: Decimal
    vwap: Decimal | None
    trades: int

    @property
    def is_served(self) -> bool:
        """True if the bar has all four prices."""
        return None not in (self.open, self.high, self.low, self.close)


def parse_amount(text: str) -> Amount:
    """Parse an amount such as trades=500, volume=10000 or notional=1000000.

    Raise ValueError for another measure, and for a number that is not above zero or too long.
    """
    name, _, number = text.partition("=")
    if name not in list(Measure) or not _NUMBER.fullmatch(number):
        raise ValueError(f"{text[:_MOST_SHOWN]!r} is no amount; write it like {_EXAMPLES}")
    measure, least = Measure(name), Decimal(number)
    if measure is Measure.TRADES and least != least.to_integral_value():
        raise ValueError(f"{text[:_MOST_SHOWN]}: trades are whole; write it like trades=500")
    if not 0 < least < LIMIT:
        raise ValueError(f"{text[:_MOST_SHOWN]}: an amount is above 0 and below {LIMIT:f}")
    return Amount(measure, least)


def amount_bars(
    trades: Iterable[CanonicalTrade], profile: Profile, amount: Amount, venues: Mapping[str, Venue]
) -> list[AmountBar]:
    """Fold trades into bars of an amount, ordered by symbol, venue, session and `seq`.

    The prints of a session, extended hours included, are taken in the order of `Trade.order`. A
    print that does not count for volume adds nothing and is part of the bar that is open then. No
    print is split. Each session begins a new bar, so the last one of a session may fall short.
    Raise SumTooLargeError if a sum does not fit.
    """
    in_force = [item.trade for item in trades if item.counts]
    in_force.sort(key=lambda trade: trade.order)
    in_force.sort(key=lambda trade: _place(trade, venues))  # stable: the order stays
    made: list[AmountBar] = []
    for place, prints in groupby(in_force, key=lambda trade: _place(trade, venues)):
        cut = _cut(prints, profile, amount)
        made += [_bar(place, seq, prices) for seq, prices in enumerate(cut)]
    return made


def _cut(
    prints: Iterable[Trade], profile: Profile, amount: Amount
) -> Iterator[tuple[int, int, Tally]]:
    """Yield first time, last time and tally of each bar of a session's prints, in order."""
    start_ns, end_ns, total, sums = 0, 0, Tally(), Decimal(0)
    is_open = False
    for trade in prints:
        eligibility = profile.judge(trade.conditions, trade.tape)
        start_ns, end_ns = start_ns if is_open else trade.event_ns, trade.event_ns
        total, is_open = merge(total, tally(trade, eligibility)), True
        if eligibility.volume:
            sums = _EXACT.add(sums, amount.of(trade))
        if sums >= amount.least:
            yield start_ns, end_ns, total
            total, sums, is_open = Tally(), Decimal(0), False
    if is_open:
        yield start_ns, end_ns, total


def _place(trade: Trade, venues: Mapping[str, Venue]) -> tuple[str, str, date]:
    return trade.symbol, trade.venue, venues[trade.venue].date_of(trade.event_ns)


def _bar(place: tuple[str, str, date], seq: int, part: tuple[int, int, Tally]) -> AmountBar:
    start_ns, end_ns, total = part
    require_fit(total, *place[:2], start_ns)
    return AmountBar(
        *place,
        seq=seq,
        start_ns=start_ns,
        end_ns=end_ns,
        open=total.first[1] if total.first else None,
        high=total.high,
        low=total.low,
        close=total.last[1] if total.last else None,
        volume=total.volume,
        vwap=vwap(total.notional, total.priced_volume),
        trades=total.trades,
    )


_EXACT = Context(prec=60)
_NUMBER = re.compile(rf"[0-9]{{1,40}}(\.[0-9]{{1,{DECIMALS}}})?")
_EXAMPLES = "trades=500, volume=10000 or notional=1000000"
_MOST_SHOWN = 60
