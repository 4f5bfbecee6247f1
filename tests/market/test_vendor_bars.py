"""The reference fold compared with LEAN's own bars of the same prints."""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from support.build import NEW_YORK, VENUES
from support.data import real_data
from truetape.host.profiles import load
from truetape.market.bars import Bar, bars
from truetape.market.canonical import CanonicalTrade, canonical
from truetape.market.resolution import Resolution
from truetape.market.trades import Position, Trade

LEAN = "lean_us_equity_2013-10"
IBM_DAYS = tuple(("ibm", f"201310{day:02}") for day in (7, 8, 9, 10, 11))
SPY_DAY = ("spy", "20131010")
ONE_DAY = ("ibm", "20131010")
LOST = (("ibm 20131008", 88_065), ("ibm 20131010", 82_802))
"""Opening crosses that are in the ticks and missing in the vendor's bars, in shares."""
MID_SESSION_MS = range(34_260_000, 57_540_000)
"""From 09:31 to 15:59 New York: the vendor has rules of its own for auctions."""

Values = tuple[Decimal, Decimal, Decimal, Decimal, Decimal]


@dataclass
class Agreement:
    """How many bars were compared, and every one that differs: (file, start ms, ours, theirs)."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: dict[str, list[tuple[str, int, Values | None, Values | None]]] = field(
        default_factory=lambda: {"second": [], "minute": []}
    )

    def add(self, name: str, kind: str, ours: dict[int, Values], theirs: dict[int, Values]) -> None:
        """Compare the mid-session bars of one file, absent ones included."""
        for start in sorted(ours.keys() | theirs.keys()):
            if start in MID_SESSION_MS:
                self.compared[kind] += 1
                if ours.get(start) != theirs.get(start):
                    self.differences[kind].append((name, start, ours.get(start), theirs.get(start)))


def rows(path: Path) -> Iterator[list[str]]:
    """Read the one CSV of a zip."""
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        yield from csv.reader(io.TextIOWrapper(member, "ascii"))


def prints(path: Path, symbol: str, midnight_ns: int) -> Iterator[Trade]:
    """Decode a tick file independently of the product's decoder."""
    for line, (ms, price, size, exchange, word, suspicious) in enumerate(rows(path)):
        bits = [str(bit) for bit in range(32) if int(word, 16) >> bit & 1]
        event_ns = midnight_ns + int(ms) * 1_000_000
        yield Trade(
            feed="lean",
            venue="XNYS",
            symbol=symbol,
            id=None,
            sequence=None,
            event_ns=event_ns,
            received_ns=event_ns,
            price=Decimal(price) / 10_000,
            size=Decimal(size),
            conditions=tuple(bits + (["suspicious"] if suspicious == "1" else [])),
            tape=None,
            exchange=exchange,
            position=Position("file", 0, line),
        )


def with_vendor_carry(made: list[Bar], midnight_ns: int) -> dict[int, Values]:
    """Add the volume of a bar without prices to the bar before it, as the vendor does."""
    carried: dict[int, Values] = {}
    last: int | None = None
    for bar in made:
        start = (bar.start_ns - midnight_ns) // 1_000_000
        if bar.open is not None and bar.high is not None:
            assert bar.low is not None
            assert bar.close is not None
            last = start
            carried[start] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        elif last is not None:
            carried[last] = (*carried[last][:4], carried[last][4] + bar.volume)
    return carried


def vendor(path: Path) -> dict[int, Values]:
    """Read the vendor's bars."""
    made = {}
    for ms, opens, high, low, close, volume in rows(path):
        prices = [Decimal(price) / 10_000 for price in (opens, high, low, close)]
        made[int(ms)] = (prices[0], prices[1], prices[2], prices[3], Decimal(volume))
    return made


def compare(days: tuple[tuple[str, str], ...]) -> Agreement:
    """Fold each day's prints and compare with the vendor's seconds and minutes."""
    agreement = Agreement()
    for symbol, day in days:
        midnight_ns = NEW_YORK.session_start_ns(datetime.strptime(day, "%Y%m%d").date())  # noqa: DTZ007 - a date
        tick = real_data(LEAN, "tick", symbol, f"{day}_trade.zip")
        trades = canonical(prints(tick, symbol.upper(), midnight_ns), VENUES).trades
        for kind, resolution in (("second", Resolution.SECOND), ("minute", Resolution.MINUTE)):
            truth = vendor(real_data(LEAN, kind, symbol, f"{day}_trade.zip"))
            made = fold(trades, resolution)
            agreement.add(f"{symbol} {day}", kind, with_vendor_carry(made, midnight_ns), truth)
    return agreement


def fold(trades: tuple[CanonicalTrade, ...], resolution: Resolution) -> list[Bar]:
    return bars(trades, load("lean"), resolution, {})


@pytest.fixture(scope="module")
def agreement() -> Agreement:
    """Six days; a minute of folding, nearly all of it for SPY."""
    return compare((*IBM_DAYS, SPY_DAY))


@pytest.mark.data
def test_the_bars_of_a_day_equal_the_vendor_s_except_for_one_lost_cross() -> None:
    """The quickest of six days: 4,902 seconds, 388 minutes, a cross of 82,802 shares."""
    found = compare((ONE_DAY,))

    assert found.compared == {"second": 4_902, "minute": 388}
    assert lost_shares(found, "second") == lost_shares(found, "minute") == {LOST[1]}


@pytest.mark.data
@pytest.mark.real
def test_second_and_minute_bars_equal_the_vendor_s(agreement: Agreement) -> None:
    """All five values of 44,071 seconds and 2,327 minutes; at least 99.99 % and 99.9 % agree."""
    seconds, minutes = (len(agreement.differences[kind]) for kind in ("second", "minute"))

    assert agreement.compared == {"second": 44_071, "minute": 2_327}
    assert seconds / agreement.compared["second"] <= 0.0001
    assert minutes / agreement.compared["minute"] <= 0.001


@pytest.mark.data
@pytest.mark.real
@pytest.mark.parametrize("kind", ["second", "minute"])
def test_every_difference_is_an_opening_cross_that_the_vendor_lost(
    agreement: Agreement, kind: str
) -> None:
    assert lost_shares(agreement, kind) == set(LOST)


def lost_shares(agreement: Agreement, kind: str) -> set[tuple[str, int]]:
    """Return how many shares the vendor's differing bars lack."""
    short = set()
    for name, _, ours, theirs in agreement.differences[kind]:
        assert ours is not None
        assert theirs is not None
        short.add((name, int(ours[4] - theirs[4])))
    return short
