"""Canonical trades: duplicates, cancels and corrections in every order of arrival."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import permutations

import pytest

from support.build import KRAKEN, NOON, SECOND, VENUES, cancel, correction, trade
from truetape.host.calendars import session
from truetape.market.amendments import means_only_this_session
from truetape.market.canonical import Canonical, amended, canonical, changes_of, key_of
from truetape.market.trades import Cancel, Event

DAY = 86_400 * SECOND
LATER = NOON + SECOND
MUCH_LATER = NOON + 60 * SECOND


def outcome(events: Sequence[Event], as_of_ns: int | None = None) -> Canonical:
    return canonical(events, VENUES, as_of_ns)


def in_force(events: Sequence[Event], as_of_ns: int | None = None) -> list[tuple[str, str]]:
    """Return (price, size) of the trades that count, in total order."""
    found = outcome(events, as_of_ns)
    return [(str(i.trade.price), str(i.trade.size)) for i in found.trades if i.counts]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([trade("1", id="a"), trade("1", id="a", offset=1)], [("1", "10")]),
        ([trade("1", id="a"), trade("2", id="a", offset=1, received_ns=LATER)], [("1", "10")]),
        ([trade("1"), trade("1", offset=1)], [("1", "10"), ("1", "10")]),
        ([trade("1", id="a"), cancel("a", LATER)], []),
        ([trade("1", id="a"), cancel("b", LATER)], [("1", "10")]),
        ([trade("1", id="a"), cancel("a", LATER), cancel("a", LATER, 1_001)], []),
        ([trade("1", id="a", received_ns=LATER), cancel("a", NOON)], []),
        ([trade("1", id="a"), correction("a", "2", "5", LATER)], [("2", "5")]),
        (
            [
                trade("1", id="a"),
                correction("a", "2", "5", LATER),
                correction("a", "3", "6", MUCH_LATER, 1_001),
            ],
            [("3", "6")],
        ),
        (
            [trade("1", id="a"), correction("a", "2", "5", LATER), cancel("a", MUCH_LATER, 1_001)],
            [],
        ),
        (
            [trade("1", id="a"), cancel("a", LATER), correction("a", "2", "5", MUCH_LATER, 1_001)],
            [],
        ),
        (
            [
                trade("1", id="a"),
                cancel("a", LATER),
                trade("1", id="a", offset=1, received_ns=LATER),
            ],
            [],
        ),
        ([trade("1", id="a"), cancel("a", LATER, symbol="MSFT")], [("1", "10")]),
        ([trade("1", id="a"), cancel("a", LATER, feed="alpaca")], [("1", "10")]),
    ],
    ids=[
        "a second delivery is not counted",
        "the first delivery decides the values",
        "without ids equal trades are distinct",
        "cancel",
        "cancel of another trade",
        "cancelled twice",
        "cancel received before its trade waits",
        "correction",
        "the last correction holds",
        "correction, then cancel",
        "a correction after the cancel is ignored",
        "trade, cancel, the same trade again: stays cancelled",
        "ids belong to a symbol",
        "ids belong to a feed",
    ],
)
def test_every_order_of_arrival_gives_the_same_trades(
    events: Sequence[Event], expected: list[tuple[str, str]]
) -> None:
    for order in permutations(events):
        assert in_force(order) == expected


def test_no_trade_is_dropped_only_flagged() -> None:
    twice = [trade(id="a"), trade(id="a", offset=1)]
    found = outcome([*twice, trade(id="b", offset=2), cancel("b"), correction("a", "2", "5")])

    flags = {
        item.trade.position.offset: (item.duplicate, item.cancelled, item.corrected)
        for item in found.trades
    }
    assert flags == {0: (False, False, True), 1: (True, False, False), 2: (False, True, False)}


def test_amendments_are_returned_by_first_delivery_in_order_of_arrival() -> None:
    first, again = trade("1", id="a"), trade("1", id="a", offset=1)
    better = correction("a", "2", "5", NOON + SECOND, offset=2)
    gone = cancel("a", NOON + 2 * SECOND, offset=3)
    other = cancel("b", NOON + SECOND, offset=4)

    meant = changes_of([first, again], [gone, other, better], VENUES).by_trade

    assert meant == {first.position: [better, gone]}
    assert (amended(first, meant[first.position]).cancelled, amended(first, []).trade) == (
        True,
        first,
    )
    assert amended(first, [better]).trade.price == Decimal(2)


def test_a_correction_keeps_the_event_time_and_every_field_that_it_lacks() -> None:
    original = trade("1", id="a", sequence=7, conditions=("F",), exchange="P", tape="A")
    found = outcome([original, correction("a", "2", "5", MUCH_LATER)]).trades[0].trade

    assert (found.event_ns, found.sequence, found.position) == (NOON, 7, original.position)
    assert (found.conditions, found.exchange, found.tape) == (("F",), "P", "A")
    assert (found.price, found.size) == (Decimal("2"), Decimal("5"))


@pytest.mark.parametrize("conditions", [(), ("Z",)], ids=["to regular", "to late"])
def test_a_correction_may_change_conditions(conditions: tuple[str, ...]) -> None:
    events = [trade(id="a", conditions=("F",)), correction("a", "2", "5", conditions=conditions)]

    assert outcome(events).trades[0].trade.conditions == conditions


YESTERDAY = trade("1", id="a", event_ns=NOON - DAY)
TODAY = trade("2", id="a", offset=1)


@pytest.mark.parametrize(
    ("amendment", "left"),
    [
        (cancel("a", NOON - DAY + 1), ["2"]),
        (cancel("a", NOON - 1), ["2"]),
        (cancel("a", NOON + 1), ["1"]),
        (cancel("a", NOON + 1, event_ns=NOON - DAY), ["2"]),
        (cancel("a", NOON - DAY + 1, event_ns=NOON), ["1"]),
        (cancel("a", NOON + 1, event_ns=NOON + 3 * 3600 * SECOND), ["1"]),
        (cancel("a", NOON + 1, event_ns=NOON + DAY), ["1", "2"]),
    ],
    ids=[
        "received yesterday",
        "received today before today's trade",
        "received after today's trade",
        "names yesterday",
        "names today, received yesterday",
        "any time of the day names the day",
        "names a day without such a trade",
    ],
)
def test_the_same_id_on_two_days_is_two_trades(amendment: Event, left: list[str]) -> None:
    events = [YESTERDAY, TODAY, amendment]

    assert [price for price, _ in in_force(events)] == left
    assert key_of(YESTERDAY, VENUES) != key_of(TODAY, VENUES)


def test_an_amendment_does_not_wait_for_a_trade_of_a_later_day() -> None:
    """Ids are unique within a day: its trade is of its day of receipt or of an earlier day."""
    early = cancel("a", NOON - DAY)

    assert outcome([TODAY, early]).pending == (early,)
    assert in_force([TODAY, early]) == [("2", "10")]


def test_a_cancelled_trade_keeps_its_values() -> None:
    corrected_too_late = correction("a", "2", "5", MUCH_LATER, 1_001)

    (item,) = outcome([trade("1", id="a"), cancel("a", LATER), corrected_too_late]).trades

    assert (str(item.trade.price), item.cancelled, item.corrected) == ("1", True, False)


def test_the_day_of_an_id_ends_at_midnight_of_the_venue() -> None:
    kraken = {"venue": "KRAKEN", "id": "a", "symbol": "XBT"}
    before, after = (
        trade("1", event_ns=NOON - NOON % DAY - 1, **kraken),
        trade("2", event_ns=NOON - NOON % DAY, offset=1, **kraken),
    )

    assert KRAKEN.date_of(before.event_ns) < KRAKEN.date_of(after.event_ns)
    assert in_force([before, after]) == [("1", "10"), ("2", "10")]


def test_an_amendment_without_its_trade_stays_pending() -> None:
    orphan = cancel("nobody")
    found = outcome([trade(id="a"), orphan])

    assert found.pending == (orphan,)
    assert in_force([trade(id="a"), orphan]) == [("100", "10")]


def test_a_trade_without_id_cannot_be_cancelled() -> None:
    assert outcome([trade(), cancel("None")]).pending


@pytest.mark.parametrize(
    ("as_of_ns", "expected"),
    [
        (NOON - 1, []),
        (NOON, [("1", "10")]),
        (LATER - 1, [("1", "10")]),
        (LATER, [("2", "5")]),
        (MUCH_LATER - 1, [("2", "5")]),
        (MUCH_LATER, []),
    ],
)
def test_as_of_an_instant_includes_events_received_at_that_instant(
    as_of_ns: int, expected: list[tuple[str, str]]
) -> None:
    events = [trade("1", id="a"), correction("a", "2", "5", LATER), cancel("a", MUCH_LATER)]

    assert in_force(events, as_of_ns) == expected


def test_as_of_counts_only_deliveries_received_by_then() -> None:
    events = [trade("1", id="a", received_ns=LATER), trade("2", id="a", offset=1)]

    assert in_force(events, NOON) == [("2", "10")]
    assert in_force(events) == [("2", "10")]


@pytest.mark.parametrize(
    ("amendment", "earliest_ns", "only_here"),
    [
        pytest.param(cancel("1", NOON + SECOND), NOON, True, id="its trade came first"),
        pytest.param(cancel("1", NOON), NOON + SECOND, False, id="its trade came later"),
        pytest.param(cancel("1", NOON), None, False, id="no trade of its id"),
        pytest.param(cancel("1", NOON + DAY), NOON, False, id="it came a day later"),
        pytest.param(cancel("1", NOON, event_ns=NOON), None, True, id="it names the day"),
    ],
)
def test_an_amendment_means_only_this_session_if_its_trade_came_first_on_the_same_day(
    amendment: Cancel, earliest_ns: int | None, only_here: bool
) -> None:
    day = session(VENUES["XNYS"], VENUES["XNYS"].date_of(NOON))

    assert means_only_this_session(amendment, earliest_ns, day) is only_here
