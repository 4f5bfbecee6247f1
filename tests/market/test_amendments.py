"""Which trade an amendment means when corrections give trades new ids."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import NOON, SECOND, VENUES, cancel, correction, trade
from truetape.market.amendments import TradesMeant
from truetape.market.canonical import CanonicalTrade, canonical
from truetape.market.trades import Amendment, Event

DAY_NS = 86_400 * SECOND
CHAIN: tuple[Amendment, ...] = (
    correction("1", "2", "20", NOON + 1 * SECOND, 1_001, new_id="2"),
    correction("2", "3", "30", NOON + 2 * SECOND, 1_002, new_id="3"),
    correction("3", "4", "40", NOON + 3 * SECOND, 1_003, new_id="4"),
)


def settled(events: Sequence[Event]) -> list[CanonicalTrade]:
    return list(canonical(events, VENUES).trades)


def outcome(events: Sequence[Event]) -> tuple[str, bool]:
    (item,) = settled(events)
    return str(item.trade.price), item.cancelled


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_a_chain_is_followed_in_whatever_order_its_links_arrive(
    length: int, order: tuple[int, ...]
) -> None:
    """Each link names the id that the one before gave; the trade may come last."""
    events = [trade("1", id="1"), *CHAIN[:length]]
    times = [NOON + place * SECOND for place in order]
    arrived = [
        replace(event, received_ns=received_ns)
        for event, received_ns in zip(events, times, strict=False)
    ]

    assert outcome(arrived) == (str(length + 1), False)


@pytest.mark.parametrize("named", ["1", "2", "3", "4"])
def test_a_cancel_may_name_any_id_that_the_trade_has_had(named: str) -> None:
    gone = cancel(named, NOON + 9 * SECOND, 1_009)

    assert outcome([trade("1", id="1"), *CHAIN, gone]) == ("4", True)


def test_of_two_corrections_the_one_that_arrived_last_holds_whatever_id_they_name() -> None:
    again = correction("1", "9", "90", NOON + 9 * SECOND, 1_009)

    assert outcome([trade("1", id="1"), *CHAIN, again]) == ("9", False)


def test_a_link_that_came_before_its_predecessor_takes_effect_after_it() -> None:
    early = replace(CHAIN[1], received_ns=NOON + SECOND // 2)
    between = correction("1", "9", "90", NOON + SECOND * 3 // 4, 1_009)

    assert outcome([trade("1", id="1"), CHAIN[0], early, between]) == ("3", False)


def test_a_trade_with_the_given_id_is_meant_from_its_own_arrival_on() -> None:
    """Ids are unique within a day: tomorrow another trade may have the id."""
    old, renamed = trade("1", id="1"), CHAIN[0]
    new = trade("7", id="2", event_ns=NOON + DAY_NS, received_ns=NOON + DAY_NS, offset=5)
    before = cancel("2", NOON + DAY_NS - SECOND, 1_008)
    after = cancel("2", NOON + DAY_NS + SECOND, 1_009)

    assert [item.cancelled for item in settled([old, renamed, new, before])] == [True, False]
    assert [item.cancelled for item in settled([old, renamed, new, after])] == [False, True]


def test_a_day_that_is_named_selects_the_trade_of_that_day() -> None:
    old, renamed = trade("1", id="1"), CHAIN[0]
    new = trade("7", id="2", event_ns=NOON + DAY_NS, received_ns=NOON + DAY_NS, offset=5)
    late = NOON + DAY_NS + SECOND
    gone = cancel("2", late, 1_009, event_ns=NOON)

    assert [item.cancelled for item in settled([old, renamed, new, gone])] == [True, False]


def test_a_new_id_is_no_name_of_another_symbol_venue_or_feed() -> None:
    others = [{"symbol": "GE"}, {"venue": "KRAKEN"}, {"feed": "alpaca"}]
    gone = [cancel("2", NOON + 9 * SECOND, 1_010 + n, **other) for n, other in enumerate(others)]

    found = canonical([trade("1", id="1"), CHAIN[0], *gone], VENUES)

    assert found.pending == tuple(gone)
    assert not found.trades[0].cancelled


def test_a_chain_without_a_trade_and_a_circle_wait_and_end() -> None:
    circle = [
        correction("1", "2", "20", NOON, 1_001, new_id="2"),
        correction("2", "3", "30", NOON, 1_002, new_id="1"),
        correction("5", "3", "30", NOON, 1_003, new_id="5"),
    ]

    assert set(canonical([*circle, *CHAIN], VENUES).pending) == {*circle, *CHAIN}
    assert outcome([trade("1", id="1", received_ns=NOON - 1), *circle[:2]]) == ("3", False)


def test_a_chain_of_a_hundred_thousand_links_that_arrive_backwards_is_followed() -> None:
    count = 100_000
    links = [
        correction(str(n), str(n + 1), "1", NOON + (count - n), n + 1, new_id=str(n + 1))
        for n in range(count)
    ]

    meant = TradesMeant([original := trade("1", id="0", offset=0)], links, VENUES)

    assert meant.of(links[-1]) is original


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_links_that_arrive_in_order_give_what_a_list_of_the_trades_ids_gives(
    steps: list[tuple[int, bool]], order: "object"
) -> None:
    """The model holds the ids of one trade; each message names one of them."""
    ids, price, cancelled = ["0"], "1", False
    events: list[Event] = [trade("1", id="0")]
    for number, (place, cancels) in enumerate(steps):
        named, when = ids[place % len(ids)], NOON + (number + 1) * SECOND
        if cancels:
            events.append(cancel(named, when, 2_000 + number))
            cancelled = True
        else:
            price = price if cancelled else str(number + 2)
            ids.append(f"n{number}")
            events.append(
                correction(named, str(number + 2), "1", when, 2_000 + number, new_id=ids[-1])
            )
    order.shuffle(events)  # type: ignore[attr-defined]

    assert outcome(events) == (price, cancelled)
