"""Trades that come again under an id which a correction gave them, and ids that clash."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given

from support.build import NOON, SECOND, VENUES, cancel, correction, trade
from support.market import events as markets
from truetape.market.canonical import Canonical, canonical
from truetape.market.trades import Event, Trade

ORIGINAL = trade("1", "10", id="1")
RENAMED = correction("1", "2", "20", NOON + 1 * SECOND, 1_001, new_id="2")
RENAMED_AGAIN = correction("2", "3", "30", NOON + 2 * SECOND, 1_002, new_id="3")
AGAIN = trade("2", "20", id="2", received_ns=NOON + 3 * SECOND, offset=2)
AGAIN_TWICE = trade("3", "30", id="3", received_ns=NOON + 4 * SECOND, offset=3)


def counting(settled: Canonical) -> list[tuple[str | None, str]]:
    """Return id and price of the trades that count."""
    return [(item.trade.id, str(item.trade.price)) for item in settled.trades if item.counts]


def orders(events: Sequence[Event]) -> list[list[Event]]:
    """Return the events in each order of arrival."""
    times = [NOON + place * SECOND for place in range(len(events))]
    return [
        [replace(event, received_ns=when) for event, when in zip(order, times, strict=True)]
        for order in permutations(events)
    ]


@pytest.mark.parametrize("order", orders([ORIGINAL, RENAMED, AGAIN]))
def test_a_trade_that_comes_again_under_its_new_id_counts_once(order: list[Event]) -> None:
    settled = canonical(order, VENUES)

    assert counting(settled) == [("1", "2")]
    assert list(settled.changes.resends) == [AGAIN.position]
    assert settled.changes.clashes == ()


@pytest.mark.parametrize(
    "order", orders([ORIGINAL, RENAMED, RENAMED_AGAIN, AGAIN, AGAIN_TWICE])[::5]
)
def test_resends_are_found_through_chains_of_corrections(order: list[Event]) -> None:
    settled = canonical(order, VENUES)

    assert counting(settled) == [("1", "3")]
    assert set(settled.changes.resends) == {AGAIN.position, AGAIN_TWICE.position}
    assert {each.of.position for each in settled.changes.resends.values()} == {ORIGINAL.position}


@pytest.mark.parametrize("order", orders([ORIGINAL, RENAMED, AGAIN, cancel("2", offset=1_009)]))
def test_a_cancel_by_the_new_id_cancels_the_trade_and_not_its_resend(order: list[Event]) -> None:
    assert counting(canonical(order, VENUES)) == []


def test_a_correction_by_the_new_id_that_came_before_the_id_takes_effect_after_it() -> None:
    early = correction("2", "9", "90", NOON + SECOND // 2, 1_005)
    first = replace(AGAIN, received_ns=NOON)

    assert counting(canonical([ORIGINAL, RENAMED, early, first], VENUES)) == [("1", "9")]


@pytest.mark.parametrize(
    "other",
    [
        replace(AGAIN, event_ns=NOON + 1),
        replace(AGAIN, price=ORIGINAL.price + 6),
        replace(AGAIN, size=ORIGINAL.size + 6),
    ],
    ids=["another time", "another price", "another size"],
)
@pytest.mark.parametrize("place", range(6))
def test_another_trade_with_the_given_id_counts_and_the_clash_is_named(
    other: Trade, place: int
) -> None:
    settled = canonical(orders([ORIGINAL, RENAMED, other])[place], VENUES)

    assert [trade_id for trade_id, _ in counting(settled)] == ["1", "2"]
    assert [clash.new_id for clash in settled.changes.clashes] == ["2"]
    assert not settled.changes.resends


def test_a_trade_of_another_day_symbol_or_feed_does_not_clash() -> None:
    day_ns = 86_400 * SECOND
    others = [
        replace(AGAIN, event_ns=NOON + day_ns, received_ns=NOON + day_ns),
        replace(AGAIN, symbol="GE"),
        replace(AGAIN, feed="alpaca"),
    ]
    others = [
        replace(each, position=replace(each.position, offset=10 + number))
        for number, each in enumerate(others)
    ]

    settled = canonical([ORIGINAL, RENAMED, *others], VENUES)

    assert len(counting(settled)) == 4
    assert (settled.changes.clashes, settled.changes.resends) == ((), {})


def test_two_trades_that_get_the_same_id_clash() -> None:
    second = trade("5", "10", id="5", event_ns=NOON + 1, offset=5)
    also = correction("5", "6", "20", NOON + 2 * SECOND, 1_005, new_id="2")

    settled = canonical([ORIGINAL, second, RENAMED, also], VENUES)

    assert counting(settled) == [("1", "2"), ("5", "6")]
    assert settled.changes.clashes == (RENAMED, also)


def test_a_correction_without_a_trade_makes_no_repeat() -> None:
    settled = canonical([RENAMED, AGAIN], VENUES)

    assert counting(settled) == [("2", "2")]
    assert settled.pending == (RENAMED,)


def test_of_trades_in_a_circle_of_corrections_the_first_to_arrive_counts() -> None:
    back = correction("2", "1", "10", NOON + 5 * SECOND, 1_006, new_id="1")

    settled = canonical([ORIGINAL, RENAMED, AGAIN, back], VENUES)

    assert counting(settled) == [("1", "1")]
    assert list(settled.changes.resends) == [AGAIN.position]


def test_a_chain_of_ten_thousand_resends_is_followed() -> None:
    links = [
        correction(str(n), "1", "1", NOON + n, 20_000 + n, new_id=str(n + 1)) for n in range(10_000)
    ]
    resent = [trade("1", "1", id=str(n), offset=n) for n in range(10_001)]

    settled = canonical([*links, *resent], VENUES)

    assert counting(settled) == [("0", "1")]


@given(markets())
def test_every_resend_repeats_a_trade_of_the_same_instant_that_is_no_resend(
    drawn: list[Event],
) -> None:
    settled = canonical(drawn, VENUES)
    by_position = {item.trade.position: item for item in settled.trades}

    for position, resend in settled.changes.resends.items():
        assert by_position[position].duplicate
        assert not by_position[resend.of.position].duplicate
        assert by_position[position].trade.event_ns == resend.of.event_ns
