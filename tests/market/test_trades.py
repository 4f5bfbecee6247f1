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


def test_ids_never_order_whether_numbers_or_text() -> None:
    trades = [trade(id=name, offset=place) for place, name in enumerate(("9", "10", "b", "a"))]

    assert in_order(*reversed(trades)) == trades


def test_without_sequence_the_source_position_decides() -> None:
    places = [
        Position("a", 0, 5),
        Position("a", 1, 0, 0),
        Position("a", 1, 0, 1),
        Position("b", 0, 0),
    ]
    trades = [trade(position=place) for place in places]

    assert in_order(*reversed(trades)) == trades


def test_a_trade_with_a_sequence_comes_before_one_without() -> None:
    numbered, other = trade(sequence=7, offset=2), trade(offset=1)

    assert in_order(other, numbered) == [numbered, other]
