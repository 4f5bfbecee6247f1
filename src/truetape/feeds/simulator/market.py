"""The simulated market: the true prints of one session. Knows no faults and no payloads.

Uses only the square root of libm (which IEEE 754 rounds exactly) and only `random()` of `random`,
so that a seed gives the same prints on every platform and Python version.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import sqrt
from random import Random
from typing import NamedTuple

SECOND = 1_000_000_000
SLOT = 60 * SECOND
"""Activity is constant within a slot."""

TIE_RATE = 0.12
"""Share of prints at the same instant as the print before: one order that matches several."""
MARKET_SIGMA, OWN_SIGMA = 0.00006, 0.00008
"""Standard deviation of the return in one second: of the market, and of one symbol on its own."""
EXCHANGES = "NQPZKVDDDX"
"""Reporting exchanges; a print draws one letter. D (off-exchange) is the most frequent."""
OFFICIAL_DELAY = 2 * SECOND

Draw = Callable[[], float]


class SimulatedPrint(NamedTuple):
    """One true print. `number` counts the symbol's prints of the day in order of event time."""

    symbol: str
    number: int
    event_ns: int
    price: str
    size: str
    conditions: tuple[str, ...]
    exchange: str | None


@dataclass(frozen=True, slots=True)
class MarketShape:
    """The simulated time, the regular session in it, and the grids of the market.

    An `equity` market has sale conditions, odd lots, auctions at `open_ns` and `close_ns` (if they
    are in the simulated time) and form T outside the session. Any other `whole` market trades whole
    contracts from open to close, and once in its closing auction, `auction_ns`, without conditions.
    The others trade round the clock with fractional sizes. Nothing trades in the `silent` interval.
    """

    symbols: tuple[str, ...]
    first_ns: int
    last_ns: int
    open_ns: int | None
    close_ns: int | None
    auction_ns: tuple[int, int] | None
    silent: tuple[int, int]
    grid_ns: int
    equity: bool
    whole: bool

    def is_regular(self, instant: int) -> bool:
        """True if an instant is in the regular session, or if the market has none."""
        return (
            self.open_ns is None or self.close_ns is None or self.open_ns <= instant < self.close_ns
        )


def prints(shape: MarketShape, count: int, random: Random) -> list[SimulatedPrint]:
    """Return `count` prints in order of event time, auctions included."""
    draw = random.random
    walk = _Walk(shape.symbols, draw)
    auctions = _auctions(shape, draw)[:count]
    continuous = _instants(shape, count - len(auctions), draw)
    auctions.sort(key=lambda auction: auction.instant, reverse=True)
    made: list[SimulatedPrint] = []
    for instant in continuous:
        while auctions and auctions[-1].instant <= instant:
            made.append(_cross(shape, walk, auctions.pop()))
        made.append(_order(shape, walk, instant))
    made += [_cross(shape, walk, auction) for auction in reversed(auctions)]
    return made


def activity(shape: MarketShape, instant: int) -> float:
    """Return how busy an instant is: a U over the regular session, low outside, 0 when silent.

    The open is busiest, then the close; noon has about a quarter of the open.
    """
    if shape.silent[0] <= instant < shape.silent[1]:
        return 0.0
    if shape.open_ns is None or shape.close_ns is None:
        return 1.0
    if not shape.open_ns <= instant < shape.close_ns:
        return 0.03
    x = (instant - shape.open_ns) / (shape.close_ns - shape.open_ns)
    falling, rising = (1 - x) * (1 - x), x * x
    return 0.6 + 1.6 * falling * falling * falling + 1.2 * rising * rising * rising * rising


def dollars(cents: int) -> str:
    """Return cents as decimal text of dollars."""
    return f"{cents // 100}.{cents % 100:02d}"


class _Walk:
    """Correlated random walks on a grid of one cent: one market factor, and one factor a symbol."""

    def __init__(self, symbols: tuple[str, ...], draw: Draw) -> None:
        self.draw = draw
        self.instant, self.symbol = 0, 0
        self.numbers = [0] * len(symbols)
        self.crossed: dict[int, int] = {}
        """The price of each symbol's last cross, in cents, which the official print repeats."""
        self._weights = list(accumulate(1.0 / (place + 1) for place in range(len(symbols))))
        self._base = [2_000 + int(38_000 * draw()) for _ in symbols]
        self._beta = [0.6 + 0.8 * draw() for _ in symbols]
        self._own = [0.0] * len(symbols)
        self._own_ns = [0] * len(symbols)
        self._market = 0.0

    def choose(self) -> int:
        """Draw a symbol: the n-th symbol trades 1/n as often as the first."""
        return bisect_right(self._weights, self.draw() * self._weights[-1])

    def cents(self, symbol: int, instant: int) -> int:
        """Move the market and a symbol to an instant. Return the symbol's price in cents."""
        self._market += self._step(self.instant, instant, MARKET_SIGMA)
        self._own[symbol] += self._step(self._own_ns[symbol], instant, OWN_SIGMA)
        self.instant = self._own_ns[symbol] = instant
        self.symbol = symbol
        self.numbers[symbol] += 1
        level = 1.0 + self._beta[symbol] * self._market + self._own[symbol]
        return max(1, int(self._base[symbol] * level + self.draw() * 2.0))

    def _step(self, before: int, instant: int, sigma: float) -> float:
        """Draw a return; the sum of three uniforms has a quarter as variance."""
        if not before or instant == before:
            return 0.0
        draw = self.draw
        return sigma * sqrt((instant - before) / SECOND) * 2 * (draw() + draw() + draw() - 1.5)


def _instants(shape: MarketShape, count: int, draw: Draw) -> list[int]:
    """Draw event times by activity, in order, on the feed's time grid."""
    edges = sorted({*range(shape.first_ns, shape.last_ns, SLOT), *_inside(shape, *shape.silent)})
    widths = [after - edge for edge, after in pairwise([*edges, shape.last_ns])]
    weights = [activity(shape, edge) * width for edge, width in zip(edges, widths, strict=True)]
    total = list(accumulate(weights, initial=0.0))
    instants, slot = [], 0
    for level in sorted([draw() * total[-1] for _ in range(count)]):
        while slot + 1 < len(edges) and level >= total[slot + 1]:
            slot += 1
        instant = edges[slot] + int((level - total[slot]) / weights[slot] * widths[slot])
        instants.append(max(instant - instant % shape.grid_ns, shape.first_ns))
    return instants


def _inside(shape: MarketShape, *instants: int) -> list[int]:
    return [instant for instant in instants if shape.first_ns <= instant < shape.last_ns]


def _order(shape: MarketShape, walk: _Walk, instant: int) -> SimulatedPrint:
    """Return one print of continuous trading, sometimes at the same instant as the print before."""
    draw = walk.draw
    if walk.instant and draw() < TIE_RATE:
        instant, symbol = walk.instant, walk.symbol
    else:
        symbol = walk.choose()
    price = dollars(walk.cents(symbol, instant))
    name, number = shape.symbols[symbol], walk.numbers[symbol]
    if not shape.whole:
        units = 1 + int(200_000_000 * draw() * draw() * draw())
        size = f"{units // 100_000_000}.{units % 100_000_000:08d}"
        return SimulatedPrint(name, number, instant, price, size, (), None)
    if not shape.equity:
        contracts = 1 + int(12 * draw() * draw() * draw())
        return SimulatedPrint(name, number, instant, price, str(contracts), (), None)
    shares = (
        1 + int(99 * draw()) if draw() < 0.4 else 100 * (1 + int(12 * draw() * draw() * draw()))
    )
    codes = _conditions(shape, instant, shares, draw)
    exchange = EXCHANGES[int(len(EXCHANGES) * draw())]
    return SimulatedPrint(name, number, instant, price, str(shares), codes, exchange)


def _conditions(shape: MarketShape, instant: int, shares: int, draw: Draw) -> tuple[str, ...]:
    codes = "@"
    if draw() < 0.3:
        codes += "F"
    if not shape.is_regular(instant):
        codes += "T"
    elif draw() < 0.004:
        codes += "47X"[int(3 * draw())]
    if shares < 100:
        codes += "I"
    return tuple(codes)


class _Auction(NamedTuple):
    symbol: int
    instant: int
    condition: str
    shares: int


def _auctions(shape: MarketShape, draw: Draw) -> list[_Auction]:
    """Return each cross and the official print that repeats it: opening O, Q and closing 6, M.

    Without conditions there is only the closing cross.
    """
    crosses: list[_Auction] = []
    for at, cross, official, slowest in (
        (shape.open_ns, "O", "Q", 90),
        (shape.close_ns, "6", "M", 75),
    ):
        if not shape.equity or at is None or not shape.first_ns <= at < shape.last_ns:
            continue
        for symbol in range(len(shape.symbols)):
            instant = at + int((0.2 + slowest * draw() * draw() * draw()) * SECOND)
            instant -= instant % shape.grid_ns
            shares = 100 * (200 + int(1_800 * draw()))
            crosses.append(_Auction(symbol, instant, cross, shares))
            crosses.append(_Auction(symbol, instant + OFFICIAL_DELAY, official, shares))
    if not shape.equity and shape.auction_ns and _inside(shape, shape.auction_ns[0]):
        start, end = shape.auction_ns
        for symbol in range(len(shape.symbols)):
            instant = start + int((end - start) * draw())
            instant -= instant % shape.grid_ns
            crosses.append(_Auction(symbol, instant, "", 100 * (200 + int(1_800 * draw()))))
    return crosses


def _cross(shape: MarketShape, walk: _Walk, auction: _Auction) -> SimulatedPrint:
    cents = walk.cents(auction.symbol, auction.instant)
    if auction.condition in ("Q", "M"):
        cents = walk.crossed.get(auction.symbol, cents)
    walk.crossed[auction.symbol] = cents
    number, name = walk.numbers[auction.symbol], shape.symbols[auction.symbol]
    size, instant = str(auction.shares), auction.instant
    if not auction.condition:
        return SimulatedPrint(name, number, instant, dollars(cents), size, (), None)
    codes = ("@", auction.condition)
    return SimulatedPrint(name, number, instant, dollars(cents), size, codes, "N")
