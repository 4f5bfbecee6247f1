"""Trades: the total order that decides open and close."""

from support.build import NOON, trade
from truetape.market.trades import Position, Trade


def in_order(*trades: Trade) -> list[Trade]:
    return sorted(trades, key=lambda item: item.order)


def test_trades_sort_by_event_time_first() -> None:
    early, late = trade(event_ns=NOON, sequence=9), trade(event_ns=NOON + 1, sequence=1)

    assert in_order(late, early) == [early, late]


def test_at_one_instant_the_sequence_decides_before_the_id() -> None:
    first, second = trade(sequence=1, id="9"), trade(sequence=2, id="1")

    assert in_order(second, first) == [first, second]


def test_ids_that_are_numbers_compare_as_numbers() -> None:
    nine, ten = trade(id="9"), trade(id="10")

    assert in_order(ten, nine) == [nine, ten]


def test_ids_with_letters_or_over_18_digits_come_after_and_compare_as_text() -> None:
    number, letters, long = trade(id="9" * 18), trade(id="a"), trade(id="1" * 19)

    assert in_order(letters, long, number) == [number, long, letters]


def test_digits_of_other_scripts_sort_as_text() -> None:
    assert in_order(trade(id="\u0661"), trade(id="2"))[0].id == "2"


def test_without_sequence_and_id_the_source_position_decides() -> None:
    places = [
        Position("a", 0, 5),
        Position("a", 1, 0, 0),
        Position("a", 1, 0, 1),
        Position("b", 0, 0),
    ]
    trades = [trade(position=place) for place in places]

    assert in_order(*reversed(trades)) == trades


def test_a_trade_with_an_id_comes_before_one_without() -> None:
    named, nameless = trade(id="z", offset=2), trade(offset=1)

    assert in_order(nameless, named) == [named, nameless]
