"""Tick, volume and dollar bars of the reference, with values made by hand."""

from decimal import Decimal

import pytest

from support.build import NOON, SECOND, VENUES, trade
from truetape.host.profiles import load
from truetape.market.amount_bars import AmountBar, amount_bars, parse_amount
from truetape.market.canonical import CanonicalTrade, canonical
from truetape.market.trades import Trade

ALL, SIP = load("all"), load("sip")
DAY_NS = 86_400 * SECOND


def prints(*pairs: tuple[str, str], first: int = 0, **fields: object) -> list[Trade]:
    """Build trades of price and size, one a second from noon; `first` is their first offset."""
    return [
        trade(price, size, event_ns=NOON + number * SECOND, offset=first + number, **fields)
        for number, (price, size) in enumerate(pairs)
    ]


def fold(trades: list[Trade], amount: str, profile: str = "all") -> list[AmountBar]:
    settled = canonical(trades, VENUES).trades
    return amount_bars(settled, load(profile), parse_amount(amount), VENUES)


def closes(bars: list[AmountBar]) -> list[str]:
    return [f"{bar.open}-{bar.close} {bar.volume} {bar.trades}" for bar in bars]


RAMP = [("10", "5"), ("11", "5"), ("12", "30"), ("13", "1"), ("14", "1")]


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("trades=2", ["10-11 10 2", "12-13 31 2", "14-14 1 1"]),
        ("trades=1", ["10-10 5 1", "11-11 5 1", "12-12 30 1", "13-13 1 1", "14-14 1 1"]),
        ("trades=9", ["10-14 42 5"]),
        ("volume=10", ["10-11 10 2", "12-12 30 1", "13-14 2 2"]),
        ("volume=10.5", ["10-12 40 3", "13-14 2 2"]),
        ("notional=105", ["10-11 10 2", "12-12 30 1", "13-14 2 2"]),
        ("notional=105.000000000000000001", ["10-12 40 3", "13-14 2 2"]),
    ],
)
def test_a_bar_ends_with_the_print_that_reaches_the_amount(
    amount: str, expected: list[str]
) -> None:
    """What a print has above the amount is not carried on, and no print is split."""
    assert closes(fold(prints(*RAMP), amount)) == expected


def test_a_bar_has_the_times_of_its_first_and_last_print_and_its_place() -> None:
    first, second = fold(prints(*RAMP), "volume=40")

    assert (first.start_ns, first.end_ns, first.seq) == (NOON, NOON + 2 * SECOND, 0)
    assert (second.start_ns, second.end_ns, second.seq) == (NOON + 3 * SECOND, NOON + 4 * SECOND, 1)
    assert (first.high, first.low) == (Decimal(12), Decimal(10))
    assert first.vwap == Decimal("11.625")


def test_sums_are_exact_beyond_the_digits_of_python_s_default_decimals() -> None:
    """79228162514.264337593543950336 and a step of 10^-18 more have 29 digits."""
    trades = prints(*[("1", "79228162514.264337593543950336"), ("1", "0.000000000000000001")] * 2)
    amount = "volume=158456325028.528675187087900673"

    assert [bar.trades for bar in fold(trades, amount)] == [3, 1]


def test_each_session_and_each_symbol_begins_a_bar() -> None:
    friday = prints(("10", "5"), ("11", "5"), ("12", "5"))
    monday = [
        trade("20", "5", event_ns=NOON + 3 * DAY_NS, offset=10),
        trade("21", "5", event_ns=NOON + 3 * DAY_NS + 1, offset=11),
    ]
    other = prints(("1", "5"), ("2", "5"), first=20, symbol="KO")

    bars = fold([*monday, *other, *friday], "trades=2")

    assert [(bar.symbol, str(bar.session), bar.seq) for bar in bars] == [
        ("IBM", "2026-11-20", 0), ("IBM", "2026-11-20", 1), ("IBM", "2026-11-23", 0),
        ("KO", "2026-11-20", 0),
    ]  # fmt: skip
    assert closes(bars) == ["10-11 10 2", "12-12 5 1", "20-21 10 2", "1-2 10 2"]


def test_a_print_without_volume_adds_nothing_and_is_in_the_open_bar() -> None:
    """An official close (M) sets a price but no volume; an odd lot (I) counts for volume only."""
    trades = [
        trade("10", "100", event_ns=NOON, offset=1, conditions=("@",), tape="A"),
        trade("99", "70", event_ns=NOON + 1, offset=2, conditions=("@", "I"), tape="A"),
        trade("11", "100", event_ns=NOON + 2, offset=3, conditions=("@",), tape="A"),
    ]

    (bar, short) = fold(trades, "volume=170", "sip")

    assert (bar.high, bar.close, bar.volume) == (Decimal(10), Decimal(10), Decimal(170))
    assert (short.open, short.volume) == (Decimal(11), Decimal(100))


def test_repeat_deliveries_and_cancelled_trades_are_left_out() -> None:
    settled = [
        CanonicalTrade(item, duplicate=number == 1, cancelled=number == 2)
        for number, item in enumerate(prints(*RAMP))
    ]

    bars = amount_bars(settled, ALL, parse_amount("trades=2"), VENUES)

    assert closes(bars) == ["10-13 6 2", "14-14 1 1"]


def test_a_negative_price_adds_its_size_in_money() -> None:
    """Crude oil traded at -37.63 on 20 April 2020."""
    assert closes(fold(prints(("-30", "1"), ("-37.63", "1"), ("1", "1")), "notional=60")) == [
        "-30--37.63 2 2", "1-1 1 1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("500", "'500' is no amount; write it like trades=500"),
        ("ticks=500", "is no amount"),
        ("volume=1e5", "is no amount"),
        ("volume=-1", "is no amount"),
        ("volume=NaN", "is no amount"),
        ("volume=", "is no amount"),
        ("volume=0.0", "an amount is above 0"),
        ("trades=1.5", "trades are whole"),
        ("notional=100000000000000000000", "below 100000000000000000000"),
        ("notional=0.0000000000000000001", "is no amount"),
        ("volume=" + "9" * 5_000, "is no amount"),
    ],
)
def test_anything_else_is_no_amount(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse_amount(text)
    assert len(str(refused.value)) < 200


def test_an_amount_is_written_as_it_is_read() -> None:
    assert [str(parse_amount(text)) for text in ("trades=500", "volume=0.5")] == [
        "trades=500", "volume=0.5",
    ]  # fmt: skip
