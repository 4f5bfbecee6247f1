"""The reference fold: bars computed by hand, and what must not change them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.build import KRAKEN, NEW_YORK, NOON, SECOND, VENUES, at, cancel, correction, trade
from support.market import CLOSES, OPENS, again, events
from truetape.market.bars import Bar, Tally, bars, half_even_quotient, merge, tally, vwap
from truetape.market.canonical import canonical
from truetape.market.eligibility import REGULAR, Condition, Profile
from truetape.market.resolution import INTRADAY, Resolution
from truetape.market.sessions import session_of
from truetape.market.trades import Event, Trade, notional_fits

PROFILE = Profile(
    "p",
    1,
    {
        "": {
            "@": Condition(),
            "Z": Condition(open_close=False),
            "I": Condition(open_close=False, high_low=False),
            "M": Condition(open_close=False, high_low=False, volume=False),
            "9": Condition(volume=False),
            "6": Condition(auction=True),
        }
    },
)
DAY = NEW_YORK.date_of(NOON)
SESSIONS = {
    "XNYS": [session_of(NEW_YORK, DAY, (OPENS, CLOSES))],
    "KRAKEN": [session_of(KRAKEN, DAY, None)],
}


def fold(events: Iterable[Event], resolution: Resolution = Resolution.SECOND) -> list[Bar]:
    return bars(canonical(events, VENUES).trades, PROFILE, resolution, SESSIONS)


def text(bar: Bar) -> str:
    """Return open, high, low, close, volume, vwap, trades; a dash for a missing value."""
    values = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades)
    return " ".join("-" if value is None else _plain(value) for value in values)


def _plain(value: Decimal | int) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        ([trade("5", "2")], "5 5 5 5 2 5 1"),
        ([trade("5"), trade("7"), trade("4"), trade("6")], "5 7 4 6 40 5.5 4"),
        (
            [trade("2", sequence=2), trade("1", sequence=1), trade("3", sequence=3)],
            "1 3 1 3 30 2 3",
        ),
        ([trade("1", id="10"), trade("2", id="9")], "1 2 1 2 20 1.5 2"),
        (
            [trade("1", event_ns=NOON + 1, sequence=1), trade("2", sequence=2)],
            "2 2 1 1 20 1.5 2",
        ),
        ([trade("5"), trade("9", conditions=("Z",))], "5 9 5 5 20 7 2"),
        ([trade("5"), trade("9", conditions=("I",))], "5 5 5 5 20 5 2"),
        ([trade("5"), trade("9", conditions=("M",))], "5 5 5 5 10 5 1"),
        ([trade("5"), trade("9", conditions=("9",))], "5 9 5 9 10 5 1"),
        ([trade("5"), trade("9", conditions=("?",))], "5 5 5 5 10 5 1"),
        ([trade("9", conditions=("I",))], "- - - - 10 - 1"),
        ([trade("9", conditions=("Z",))], "- 9 9 - 10 9 1"),
        ([trade("9", conditions=("?",))], "- - - - 0 - 0"),
        ([trade("5", "0")], "5 5 5 5 0 - 1"),
        ([trade("0.1", "0.2"), trade("0.3", "0.4")], "0.1 0.3 0.1 0.3 0.6 0.233333333333333333 2"),
    ],
    ids=[
        "one trade",
        "in order",
        "a tie in time: the sequence decides",
        "a tie in time: the position decides, not the id",
        "time before sequence",
        "late: range and volume",
        "odd lot: volume only",
        "official close: nothing",
        "prices without volume",
        "unknown condition: nothing",
        "no price at all",
        "a range without open",
        "unknown alone",
        "no size",
        "small decimals",
    ],
)
def test_a_bar_equals_the_one_computed_by_hand(trades: Sequence[Trade], expected: str) -> None:
    numbered = [
        trade(**fields(item), offset=place)  # type: ignore[arg-type]
        for place, item in enumerate(trades)
    ]

    (bar,) = fold(numbered)

    assert text(bar) == expected
    assert bar.is_served is ("-" not in expected.split()[:4])


def fields(item: Trade) -> dict[str, object]:
    names = ("event_ns", "id", "sequence", "conditions")
    given = {name: getattr(item, name) for name in names}
    return given | {"price": str(item.price), "size": str(item.size)}


def test_bars_are_half_open_and_labelled_by_their_start() -> None:
    made = fold([trade(event_ns=NOON), trade(event_ns=NOON + SECOND - 1, offset=1)])
    later = fold([trade(event_ns=NOON + SECOND)])

    assert [(bar.start_ns, bar.trades) for bar in made] == [(NOON, 2)]
    assert [bar.start_ns for bar in later] == [NOON + SECOND]


def test_bars_are_ordered_by_symbol_venue_and_start() -> None:
    made = fold(
        [
            trade(symbol="B", offset=1),
            trade(symbol="A", event_ns=NOON + SECOND, offset=2),
            trade(symbol="A", offset=3),
            trade(symbol="A", venue="KRAKEN", event_ns=NOON + SECOND, offset=4),
        ]
    )

    assert [(bar.symbol, bar.venue, (bar.start_ns - NOON) // SECOND) for bar in made] == [
        ("A", "KRAKEN", 1),
        ("A", "XNYS", 0),
        ("A", "XNYS", 1),
        ("B", "XNYS", 0),
    ]


def test_a_bar_disappears_when_all_its_trades_are_cancelled() -> None:
    assert fold([trade(id="a"), cancel("a")]) == []


def test_a_correction_changes_the_bar_of_the_original_event_time() -> None:
    hour_later = NOON + 3_600 * SECOND
    (bar,) = fold([trade("1", id="a"), correction("a", "2", "5", received_ns=hour_later)])

    assert (bar.start_ns, text(bar)) == (NOON, "2 2 2 2 5 2 1")


@pytest.mark.parametrize(
    ("notional", "volume", "expected"),
    [
        ("1", "3", "0.33333333"),
        ("2", "3", "0.66666667"),
        ("0.00000001", "2", "0.00000000"),
        ("0.00000003", "2", "0.00000002"),
        ("0.00000005", "2", "0.00000002"),
        ("-0.00000003", "2", "-0.00000002"),
        ("999999999.999999999", "1", "1000000000.00000000"),
        ("123456789012345678901234567890", "0.00000001", None),
    ],
    ids=["down", "up", "half to 0", "half up to 2", "half down to 2", "negative", "carry", "wide"],
)
def test_vwap_is_rounded_once_and_half_to_even(
    notional: str, volume: str, expected: str | None
) -> None:
    found = half_even_quotient(Decimal(notional), Decimal(volume), 8)

    exact = Decimal("12345678901234567890123456789000000000")
    assert found == (exact if expected is None else Decimal(expected))
    assert expected is None or f"{found:f}" == expected


@pytest.mark.parametrize(
    ("price", "size", "notional"),
    [
        ("0.000000000000000001", "0.5", "0"),
        ("0.000000000000000003", "0.5", "0.000000000000000002"),
        ("0.000000000000000005", "0.5", "0.000000000000000002"),
        ("-0.000000000000000003", "0.5", "-0.000000000000000002"),
        ("1.234567890123456789", "1.000000000000000001", "1.234567890123456790"),
        ("12345678901.123456789012345678", "0.1", "1234567890.112345678901234568"),
    ],
    ids=["half to 0", "half up to 2", "half down to 2", "negative", "36 decimals", "wide"],
)
def test_the_notional_of_a_trade_is_rounded_half_even_to_18_decimals(
    price: str, size: str, notional: str
) -> None:
    (bar,) = fold([trade(price, size)])

    total = tally(trade(price, size), REGULAR)
    assert total.notional == Decimal(notional)
    assert bar.vwap == half_even_quotient(Decimal(notional), Decimal(size), 18)


def test_three_rounded_notionals_are_added_not_rounded_again() -> None:
    """Each is rounded up by half a last place; the sum and the quotient are exact."""
    (bar,) = fold([trade("0.000000000000000003", "0.5", offset=place) for place in range(3)])

    assert bar.vwap == Decimal("0.000000000000000004")


@pytest.mark.parametrize(
    ("price", "size", "fits"),
    [
        ("99999999999999999999.999999999999999999", "1", True),
        ("99999999999999999999.999999999999999999", "0.000000000000000001", False),
        ("99999999999999999999.4", "0.000000000000000001", True),
        ("10000000000", "9999999999.999999999999999999", True),
        ("10000000000", "10000000000", False),
        ("-10000000000", "10000000000", False),
        ("9999999999.999999999", "10000000000.000000001", True),
        ("9999999999.9999999999999", "10000000000.0000000000001", False),
        ("5", "0", True),
    ],
    ids=str,
)
def test_a_notional_fits_20_digits_and_so_does_its_vwap(price: str, size: str, fits: bool) -> None:
    assert notional_fits(Decimal(price), Decimal(size)) is fits


def test_the_decimal_context_of_the_caller_changes_no_bar() -> None:
    trades = [trade("123456.789", "1234.5"), trade("123456.788", "1", offset=1)]
    expected = fold(trades)

    with localcontext() as context:
        context.prec = 3
        assert fold(trades) == expected


def test_there_is_no_vwap_without_priced_volume() -> None:
    assert vwap(Decimal(0), Decimal(0)) is None


@pytest.mark.parametrize(
    ("event", "conditions", "counts"),
    [
        (OPENS, (), True),
        (OPENS - 1, (), False),
        (CLOSES - 1, (), True),
        (CLOSES, (), False),
        (CLOSES + 75 * SECOND, ("6",), True),
        (OPENS - 60 * SECOND, ("6",), True),
        (at("2026-11-21T05:00:00"), ("6",), False),
        (at("2026-11-20T05:00:00") - 1, ("6",), False),
    ],
    ids=[
        "at the open",
        "before the open",
        "last nanosecond",
        "at the close",
        "closing auction reported late",
        "opening auction reported early",
        "auction print of the next day",
        "auction print of the day before",
    ],
)
def test_a_daily_bar_contains_the_regular_session_and_its_auctions(
    event: int, conditions: tuple[str, ...], counts: bool
) -> None:
    made = fold([trade(event_ns=event, conditions=conditions)], Resolution.DAY)

    assert [bar.start_ns for bar in made] == ([OPENS] if counts else [])


def test_a_closed_day_has_no_daily_bar_even_for_an_auction_print() -> None:
    closed = {"XNYS": [session_of(NEW_YORK, DAY, None)]}
    trades = canonical([trade(conditions=("6",))], VENUES).trades

    assert bars(trades, PROFILE, Resolution.DAY, closed) == []


def test_the_daily_bar_of_a_venue_without_calendar_is_the_utc_day() -> None:
    midnight = at("2026-11-20T00:00:00")
    events = [
        trade("1", event_ns=midnight, venue="KRAKEN"),
        trade("2", event_ns=midnight + 86_400 * SECOND - 1, venue="KRAKEN", offset=1),
        trade("3", event_ns=midnight + 86_400 * SECOND, venue="KRAKEN", offset=2),
    ]

    (bar,) = fold(events, Resolution.DAY)

    assert (bar.start_ns, text(bar)) == (midnight, "1 2 1 2 20 1.5 2")


MARKETS = events((*[(code,) for code in PROFILE.tables[""]], (), ("?",)), tapes=(None,))


@given(MARKETS, st.randoms(use_true_random=False), st.sampled_from(INTRADAY))
def test_order_of_arrival_and_repeat_deliveries_change_no_bar(
    market: list[Event], random: "st.random.Random", resolution: Resolution
) -> None:
    expected = fold(market, resolution)
    repeats = [
        again(event, 5_000 + place, 2 * event.received_ns)
        for place, event in enumerate(market)
        if isinstance(event, Trade) and event.id is not None
    ]
    shuffled = [*market, *repeats]
    random.shuffle(shuffled)

    assert fold(shuffled, resolution) == expected


@given(MARKETS, st.data())
def test_every_split_of_the_trades_merges_to_the_same_tally(
    market: list[Event], data: st.DataObject
) -> None:
    prints = [event for event in market if isinstance(event, Trade)]
    tallies = [tally(item, PROFILE.judge(item.conditions)) for item in prints]
    cut = data.draw(st.integers(0, len(tallies)))
    mixed = data.draw(st.permutations(tallies))

    left, right = (reduce(merge, part, Tally()) for part in (mixed[:cut], mixed[cut:]))

    assert merge(left, right) == merge(right, left) == reduce(merge, tallies, Tally())


@given(MARKETS)
def test_a_cancelled_trade_stays_cancelled_when_it_is_delivered_again(market: list[Event]) -> None:
    assume(not canonical(market, VENUES).changes.clashes)  # a cancel means one trade of an id
    ids = {event.id for event in market if isinstance(event, Trade) and event.id}
    prints = [event for event in market if isinstance(event, Trade)]
    first = min(event.event_ns for event in prints)
    last_ns = max(event.received_ns for event in market)
    gone = [
        cancel(name, first + 400 * SECOND, 9_000 + place) for place, name in enumerate(sorted(ids))
    ]
    repeats = [
        again(event, 20_000 + place, last_ns + 9_000 * SECOND)
        for place, event in enumerate(prints)
        if event.id
    ]

    assert fold([*market, *gone, *repeats]) == fold([event for event in prints if event.id is None])


@given(MARKETS)
def test_each_resolution_is_the_roll_up_of_the_one_below(market: list[Event]) -> None:
    prints = [item.trade for item in canonical(market, VENUES).trades if item.counts]
    for small, large in pairwise(INTRADAY):
        rolled = roll_up(fold(prints, small), large)

        assert rolled == {
            bar.start_ns: (bar.high, bar.low, bar.volume, bar.trades) for bar in fold(prints, large)
        }


def roll_up(made: list[Bar], resolution: Resolution) -> dict[int, tuple[object, ...]]:
    """Combine bars the plain way; the test of the tally covers open, close and vwap."""
    groups: dict[int, list[Bar]] = {}
    for bar in made:
        groups.setdefault(resolution.start_of(bar.start_ns), []).append(bar)
    return {
        start: (
            max((bar.high for bar in group if bar.high is not None), default=None),
            min((bar.low for bar in group if bar.low is not None), default=None),
            sum((bar.volume for bar in group), Decimal(0)),
            sum(bar.trades for bar in group),
        )
        for start, group in groups.items()
    }


def test_a_roll_up_has_the_first_open_and_the_last_close() -> None:
    prints = [
        trade("3", event_ns=NOON + 3_599 * SECOND, offset=1),
        trade("1", event_ns=NOON, offset=2),
        trade("2", event_ns=NOON + 61 * SECOND, offset=3),
        trade("9", event_ns=NOON + 3_600 * SECOND, offset=4),
    ]

    assert [text(bar) for bar in fold(prints, Resolution.HOUR)] == [
        "1 3 1 3 30 2 3",
        "9 9 9 9 10 9 1",
    ]
    assert [text(bar) for bar in fold(prints, Resolution.FIVE_MINUTES)] == [
        "1 2 1 2 20 1.5 2",
        "3 3 3 3 10 3 1",
        "9 9 9 9 10 9 1",
    ]


def test_a_regular_print_counts_for_every_part_of_a_bar() -> None:
    item = trade("2", "3")

    assert tally(item, REGULAR) == Tally(
        first=(item.order, Decimal(2)),
        high=Decimal(2),
        low=Decimal(2),
        last=(item.order, Decimal(2)),
        volume=Decimal(3),
        notional=Decimal(6),
        priced_volume=Decimal(3),
        trades=1,
    )
