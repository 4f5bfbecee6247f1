"""Causes of drift: each fault alone gives exactly its cause; the deltas of mixed faults add up."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import NOON, SECOND, VENUES, cancel, correction, trade
from support.speed_reference import closed_out, counted_trades
from truetape.drift.attribution import Cause, FieldDrift, attribute_to, explain, is_explained
from truetape.drift.attribution_inputs import (
    FIELDS,
    NO_VALUES,
    BarInputs,
    BarValues,
    ServingRules,
    TradeDelivery,
)
from truetape.host.profiles import load
from truetape.market.bars import Tally, merge, tally, vwap
from truetape.market.canonical import canonical, changes_of
from truetape.market.eligibility import Profile
from truetape.market.trades import Amendment, Position, Trade

SIP, ALL = load("sip"), load("all")
MINUTE = 60 * SECOND
IN_TIME, TOO_LATE = SECOND, 3 * MINUTE
"""Time from event to receipt."""
SPEED = ServingRules(SIP.judge, MINUTE, frozenset({"truetape"}))
COUNTS_REPEATS = replace(SPEED, deduplicated_feeds=frozenset())
PUBLISHED = ServingRules(SIP.judge, MINUTE, None, as_of_ns=NOON + 60 * MINUTE)
"""A publication an hour after noon."""


def print_of(number: int, price: str, size: str = "10", **fields: object) -> Trade:
    """Return trade n: n seconds after noon, received a second later, at offset n."""
    event_ns = NOON + number * SECOND
    received_ns = event_ns + int(str(fields.pop("delay", IN_TIME)))
    values: dict[str, object] = {
        "id": str(number),
        "event_ns": event_ns,
        "received_ns": received_ns,
        "offset": number,
    }
    return trade(price, size, **(values | fields))


FIRST, MIDDLE, LAST = (print_of(1, "100"), print_of(2, "101"), print_of(3, "99"))
QUIET = (FIRST, MIDDLE, LAST)
QUIET_BAR = "100 101 99 99 30 100 3"


def again(original: Trade, offset: int = 50) -> Trade:
    """Return the same trade, delivered again ten seconds later."""
    place = replace(original.position, offset=offset)
    return replace(original, position=place, received_ns=original.received_ns + 10 * SECOND)


def bar(text: str) -> BarValues:
    """Parse open, high, low, close, volume, vwap, trades."""
    return tuple(Decimal(word) for word in text.split())


def deliveries(events: Sequence[Trade | Amendment]) -> list[TradeDelivery]:
    """Return the deliveries of events in stream order, by the reference rules."""
    trades = [event for event in events if isinstance(event, Trade)]
    amendments = [event for event in events if not isinstance(event, Trade)]
    changes = changes_of(trades, amendments, VENUES)
    repeats = {item.trade.position for item in canonical(events, VENUES).trades if item.duplicate}
    return [
        TradeDelivery(
            item,
            item.position in repeats,
            tuple(changes.by_trade.get(item.position, ())),
            resend=changes.resends.get(item.position),
        )
        for item in sorted(trades, key=lambda item: item.position)
    ]


def causes(drifts: Sequence[FieldDrift]) -> dict[Cause, set[str]]:
    """Return the trades of each cause, over all fields."""
    trades: dict[Cause, set[str]] = {}
    for drift in drifts:
        for part in drift.parts:
            trades.setdefault(part.cause, set()).update(part.trades)
    return trades


def deltas(drifts: Sequence[FieldDrift]) -> dict[str, str]:
    """Return the change of each field as text."""
    return {drift.field: f"{drift.delta.normalize():f}" for drift in drifts}


SINGLE = {
    "late": (
        [*QUIET, print_of(4, "105", delay=TOO_LATE)],
        QUIET_BAR,
        "100 105 99 105 40 101.25 4",
        SPEED,
        Cause.LATE,
        {"4"},
    ),
    "duplicate": (
        [*QUIET, again(MIDDLE)],
        "100 101 99 99 40 100.25 4",
        QUIET_BAR,
        COUNTS_REPEATS,
        Cause.DUPLICATE,
        {"2"},
    ),
    "cancel": (
        [*QUIET, cancel("2", NOON + 30 * SECOND)],
        QUIET_BAR,
        "100 100 99 99 20 99.5 2",
        SPEED,
        Cause.CANCEL,
        {"2"},
    ),
    "correction": (
        [*QUIET, correction("3", "102", "20", NOON + 30 * SECOND)],
        QUIET_BAR,
        "100 102 100 102 40 101.25 3",
        SPEED,
        Cause.CORRECTION,
        {"3"},
    ),
    "eligibility": (
        [*QUIET, print_of(4, "98", conditions=("@", "I"))],
        "100 101 98 98 40 99.5 4",
        "100 101 99 99 40 100 4",
        replace(SPEED, judge=ALL.judge),
        Cause.ELIGIBILITY,
        {"4"},
    ),
    "missing at the end": (
        [*QUIET, print_of(4, "105")],
        QUIET_BAR,
        "100 105 99 105 40 101.25 4",
        SPEED,
        Cause.MISSING,
        {"4"},
    ),
    "missing in the middle": (
        [*QUIET, print_of(4, "105")],
        "100 105 99 105 30 101.333333333333333333 3",
        "100 105 99 105 40 101.25 4",
        SPEED,
        Cause.MISSING,
        {"2"},
    ),
    "the whole bar missing": (
        QUIET,
        "0 0 0 0 0 0 0",
        QUIET_BAR,
        SPEED,
        Cause.MISSING,
        {"1", "2", "3"},
    ),
    "late for a publication": (
        [*QUIET, print_of(4, "105", delay=90 * MINUTE)],
        QUIET_BAR,
        "100 105 99 105 40 101.25 4",
        PUBLISHED,
        Cause.LATE,
        {"4"},
    ),
    "cancel after a publication": (
        [*QUIET, cancel("2", NOON + 90 * MINUTE)],
        QUIET_BAR,
        "100 100 99 99 20 99.5 2",
        PUBLISHED,
        Cause.CANCEL,
        {"2"},
    ),
    "cancel that a publication had not archived yet": (
        [*QUIET, cancel("2", NOON + 30 * SECOND)],
        QUIET_BAR,
        "100 100 99 99 20 99.5 2",
        PUBLISHED,
        Cause.CANCEL,
        {"2"},
    ),
    "hole that a backfill filled": (
        [*QUIET, print_of(4, "105"), cancel("1", NOON + 20 * SECOND)],
        "101 105 101 105 20 103 2",
        "101 105 99 105 30 101.666666666666666667 3",
        PUBLISHED,
        Cause.MISSING,
        {"3"},
    ),
}  # fmt: skip
"""Events; served and right bar, written by hand; the layer that served it; cause and trades."""


@pytest.mark.parametrize("name", SINGLE)
def test_each_fault_alone_gives_exactly_its_cause_and_its_trades(name: str) -> None:
    events, served, right, rules, cause, trades = SINGLE[name]

    drifts = explain(BarInputs(bar(served), bar(right), deliveries(events)), rules, SIP.judge)

    assert causes(drifts) == {cause: trades}
    moved = zip(FIELDS, bar(served), bar(right), strict=True)
    assert {drift.field: (drift.before, drift.after) for drift in drifts} == {
        field: (was, now) for field, was, now in moved if was != now
    }


def test_a_field_has_a_part_for_each_cause_with_its_deciding_trades() -> None:
    """The late print sets the high and the close; the cancel removes the first print."""
    late = print_of(4, "105", delay=TOO_LATE)
    events = [*QUIET, late, cancel("1", NOON + 30 * SECOND)]
    inputs = BarInputs(
        bar(QUIET_BAR), bar("101 105 99 105 30 101.666666666666666667 3"), deliveries(events)
    )

    drifts = {drift.field: drift for drift in explain(inputs, SPEED, SIP.judge)}

    reported = {
        name: [(part.cause, f"{part.delta.normalize():f}", part.trades) for part in drift.parts]
        for name, drift in drifts.items()
    }
    assert reported == {
        "open": [(Cause.CANCEL, "1", ("1",))],
        "high": [(Cause.LATE, "4", ("4",))],
        "close": [(Cause.LATE, "6", ("4",))],
        "volume": [(Cause.LATE, "10", ("4",)), (Cause.CANCEL, "-10", ("1",))],
        "vwap": [(Cause.LATE, "1.25", ("4",)), (Cause.CANCEL, "0.416666666666666667", ("1",))],
        "trades": [(Cause.LATE, "1", ("4",)), (Cause.CANCEL, "-1", ("1",))],
    }
    assert drifts["high"].parts[0].lateness_ns == TOO_LATE
    assert drifts["volume"].delta == 0


def test_a_late_trade_that_the_speed_layer_counted_is_a_defect() -> None:
    """The speed layer counts by the records alone, so no restart can be the reason."""
    inputs = BarInputs(
        bar("100 105 99 105 40 101.25 4"), bar("101 105 99 105 30 101.666666666666666667 3"),
        deliveries([*QUIET, print_of(4, "105", delay=TOO_LATE), cancel("1", NOON + 30 * SECOND)]),
    )  # fmt: skip

    assert not is_explained(explain(inputs, SPEED, SIP.judge))


def test_a_publication_may_know_a_trade_received_after_it_by_another_clock() -> None:
    ahead = print_of(4, "105", delay=61 * MINUTE)
    inputs = BarInputs(
        bar("100 105 99 105 40 101.25 4"), bar("101 105 99 105 30 101.666666666666666667 3"),
        deliveries([*QUIET, ahead, cancel("1", NOON + 90 * MINUTE)]),
    )  # fmt: skip

    assert causes(explain(inputs, PUBLISHED, SIP.judge)) == {Cause.CANCEL: {"1"}}


def test_a_repeat_that_the_speed_layer_should_have_dropped_is_a_defect() -> None:
    inputs = BarInputs(
        bar("100 101 99 99 40 100.25 4"), bar(QUIET_BAR), deliveries([*QUIET, again(MIDDLE)])
    )

    assert causes(explain(inputs, SPEED, SIP.judge)) == {Cause.UNEXPLAINED: set()}


def test_a_repeat_with_a_time_in_another_second_counts_in_the_speed_layer() -> None:
    """It drops repeats within a second, the batch layer within a session."""
    elsewhere = replace(again(MIDDLE), event_ns=MIDDLE.event_ns + 3 * SECOND)
    inputs = BarInputs(
        bar("100 101 99 101 40 100.25 4"), bar(QUIET_BAR), deliveries([*QUIET, elsewhere])
    )

    assert causes(explain(inputs, SPEED, SIP.judge)) == {Cause.DUPLICATE: {"2"}}


def test_the_delivery_received_first_counts_wherever_it_stands_in_the_stream() -> None:
    """Two partitions: the delivery with the higher position is the first one received."""
    repeat = replace(again(MIDDLE), event_ns=MIDDLE.event_ns + 1, price=Decimal(90))
    first = replace(MIDDLE, position=Position("trades", 1, 0))
    events = [FIRST, repeat, first, LAST, print_of(4, "105", delay=TOO_LATE)]
    inputs = BarInputs(bar(QUIET_BAR), bar("100 105 99 105 40 101.25 4"), deliveries(events))

    assert causes(explain(inputs, SPEED, SIP.judge)) == {Cause.LATE: {"4"}}


def test_a_trade_of_which_the_layers_count_different_deliveries_has_not_changed() -> None:
    """One partition: the delivery received first stands behind the other in the stream."""
    repeat = replace(MIDDLE, position=Position("trades", 0, 9), received_ns=MIDDLE.received_ns - 1)
    inputs = BarInputs(bar(QUIET_BAR), bar(QUIET_BAR), deliveries([*QUIET, repeat]))

    assert explain(inputs, SPEED, SIP.judge) == ()


def test_the_order_of_another_delivery_may_change_the_close() -> None:
    """Two trades of one instant: the delivery that counts now stands behind the other trade."""
    other = replace(MIDDLE, id="9", price=Decimal(90), position=Position("trades", 0, 7))
    repeat = replace(MIDDLE, position=Position("trades", 0, 8), received_ns=MIDDLE.received_ns - 1)
    events = [MIDDLE, other, repeat]
    served, right = values([MIDDLE, other], SIP), values(in_force(events), SIP)

    drifts = explain(BarInputs(served, right, deliveries(events)), SPEED, SIP.judge)

    assert [drift.field for drift in drifts] == ["open", "close"]
    assert causes(drifts) == {Cause.DUPLICATE: {"2"}}


def test_a_trade_for_a_window_that_its_partition_had_closed_is_missing() -> None:
    """It was received in time, but stands in the stream after a record of two minutes later."""
    newer = replace(print_of(120, "100"), position=Position("trades", 0, 4))
    behind = replace(print_of(4, "105"), position=Position("trades", 0, 5))
    assert closed_out([*QUIET, newer, behind]) == {behind.position}

    inputs = BarInputs(
        bar(QUIET_BAR), bar("100 105 99 105 40 101.25 4"), deliveries([*QUIET, behind])
    )

    assert causes(explain(inputs, SPEED, SIP.judge)) == {Cause.MISSING: {"4"}}


def test_a_trade_without_id_is_named_by_its_position() -> None:
    nameless = print_of(4, "105", delay=TOO_LATE, id=None)
    inputs = BarInputs(
        bar(QUIET_BAR), bar("100 105 99 105 40 101.25 4"), deliveries([*QUIET, nameless])
    )

    assert causes(explain(inputs, SPEED, SIP.judge)) == {Cause.LATE: {"trades/0@4.0"}}


def test_drift_without_an_event_is_unexplained_to_the_last_decimal() -> None:
    """The served high belongs to no print; a cancel explains the rest."""
    events = [*QUIET, cancel("2", NOON + 30 * SECOND)]
    inputs = BarInputs(
        bar("100 101.5 99 99 30 100 3"), bar("100 100 99 99 20 99.5 2"), deliveries(events)
    )

    drifts = explain(inputs, SPEED, SIP.judge)

    high = next(drift for drift in drifts if drift.field == "high")
    assert [(part.cause, part.delta) for part in high.parts] == [
        (Cause.CANCEL, Decimal("-1")),
        (Cause.UNEXPLAINED, Decimal("-0.5")),
    ]
    assert not is_explained(drifts)
    assert causes(drifts)[Cause.CANCEL] == {"2"}


def test_a_recomputed_bar_that_differs_from_its_own_events_is_unexplained() -> None:
    drifts = explain(BarInputs(bar(QUIET_BAR), NO_VALUES, deliveries(QUIET)), SPEED, SIP.judge)

    assert set(causes(drifts)) == {Cause.UNEXPLAINED}
    assert [drift.delta for drift in drifts] == [-value for value in bar(QUIET_BAR)]


def test_prints_that_both_versions_count_alike_may_be_given_as_one_tally() -> None:
    """The causes are the same as with each print as a delivery."""
    late = print_of(4, "105", delay=TOO_LATE)
    values = bar(QUIET_BAR), bar("100 105 99 105 40 101.25 4")
    base = reduce(merge, (tally(item, SIP.judge(())) for item in QUIET))

    separate = explain(BarInputs(*values, deliveries([*QUIET, late])), SPEED, SIP.judge)

    assert explain(BarInputs(*values, deliveries([late]), base), SPEED, SIP.judge) == separate


def test_a_revert_takes_all_drift_without_looking_at_events() -> None:
    drifts = attribute_to(bar(QUIET_BAR), bar("100 101 99 99 20 100 2"), Cause.REVERT)

    assert causes(drifts) == {Cause.REVERT: set()}
    assert deltas(drifts) == {"volume": "-10", "trades": "-1"}


CONDITIONS = st.sampled_from([(), ("@",), ("I",), ("Z",), ("M",), ("nonsense",)])
PRICES = st.integers(-3, 3).map(lambda step: str(100 + step))


@st.composite
def streams(
    draw: st.DrawFn, seconds: int = 5, partitions: int = 2, *, exact_repeats: bool = False
) -> list[Trade | Amendment]:
    """Events of one bar in order of receipt: trades, some late, repeated, cancelled or corrected,
    some at the same time. A repeat may have another event time, unless `exact_repeats`.
    """
    made: list[Trade | Amendment] = []
    for number in range(draw(st.integers(1, 8))):
        new = print_of(
            number,
            draw(PRICES),
            str(draw(st.integers(0, 9))),
            event_ns=NOON + draw(st.integers(0, seconds)) * SECOND,
            delay=draw(st.sampled_from([IN_TIME, IN_TIME, MINUTE, MINUTE + 1, TOO_LATE])),
            conditions=draw(CONDITIONS),
        )
        made.append(new)
        received_ns = new.received_ns + draw(st.integers(1, 90)) * SECOND
        match draw(st.sampled_from(["", "", "", "again", "cancel", "correct"])):
            case "again":
                moved = 0 if exact_repeats else draw(st.sampled_from([0, 1, 2 * SECOND]))
                event_ns = new.event_ns + moved
                made.append(replace(new, received_ns=received_ns, event_ns=event_ns))
            case "cancel":
                made.append(cancel(str(number), received_ns))
            case "correct":
                made.append(correction(str(number), draw(PRICES), "5", received_ns))
    arrived = sorted(made, key=lambda event: event.received_ns)
    return [
        replace(event, position=Position("trades", draw(st.integers(0, partitions - 1)), offset))
        for offset, event in enumerate(arrived)
    ]


def values(trades: Sequence[Trade], profile: Profile) -> BarValues:
    """Return the bar of trades, each counted once, by the reference fold."""
    judged = (tally(item, profile.judge(item.conditions, item.tape)) for item in trades)
    total = reduce(merge, judged, Tally())
    if total.first is None or total.last is None or total.high is None or total.low is None:
        return NO_VALUES
    average = vwap(total.notional, total.priced_volume) or Decimal(0)
    prices = (total.first[1], total.high, total.low, total.last[1])
    return *prices, total.volume, average, Decimal(total.trades)


def in_force(events: Sequence[Trade | Amendment]) -> list[Trade]:
    return [item.trade for item in canonical(events, VENUES).trades if item.counts]


def served_by_speed(
    events: Sequence[Trade | Amendment], gap: tuple[int, int], *, repeats: bool
) -> list[Trade]:
    """Return what a speed layer counts that did not read the events of a gap."""
    unread = {event.position for event in events[slice(*gap)]}
    return counted_trades(events, repeats=repeats, lost=lambda item: item.position in unread)


GAPS = st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda gap: (gap[0], sum(gap)))


@given(streams(), GAPS, st.booleans(), st.sampled_from([SIP, ALL]))
def test_the_deltas_of_the_causes_add_up_for_any_mix_of_faults(
    events: list[Trade | Amendment], gap: tuple[int, int], repeats: bool, profile: Profile
) -> None:
    """Served values plus all deltas equal the recomputed values; each field is listed once."""
    served = values(served_by_speed(events, gap, repeats=repeats), profile)
    right = values(in_force(events), SIP)
    feeds = frozenset() if repeats else frozenset({"truetape"})
    rules = ServingRules(profile.judge, MINUTE, feeds)

    drifts = explain(BarInputs(served, right, deliveries(events)), rules, SIP.judge)

    moved = {
        name: (was, now) for name, was, now in zip(FIELDS, served, right, strict=True) if was != now
    }
    assert moved.keys() <= {drift.field for drift in drifts}
    for drift in drifts:
        assert sum(part.delta for part in drift.parts) == drift.after - drift.before
        assert (drift.before, drift.after) == moved.get(drift.field, (drift.before,) * 2)
        assert all(part.delta for part in drift.parts)


RENAMED = correction("2", "50", "5", NOON + 100 * SECOND, new_id="9")
RESENT = replace(
    MIDDLE,
    id="9",
    price=RENAMED.price,
    size=RENAMED.size,
    received_ns=NOON + 50 * SECOND,
    position=Position("trades", 0, 60),
)


@pytest.mark.parametrize(
    ("as_of_s", "expected"),
    [
        pytest.param(None, {Cause.DUPLICATE: {"9"}, Cause.CORRECTION: {"2"}}, id="speed layer"),
        pytest.param(60, {Cause.DUPLICATE: {"9"}, Cause.CORRECTION: {"2"}}, id="published before"),
        pytest.param(200, {}, id="published after"),
    ],
)
def test_a_resend_is_a_duplicate_once_its_correction_is_known(
    as_of_s: int | None, expected: dict[Cause, set[str]]
) -> None:
    events = [*QUIET, RESENT, RENAMED]
    as_of_ns = None if as_of_s is None else NOON + as_of_s * SECOND
    rules = SPEED if as_of_ns is None else replace(PUBLISHED, as_of_ns=as_of_ns)
    served = (
        [*QUIET, RESENT]
        if as_of_ns is None
        else [item.trade for item in canonical(events, VENUES, as_of_ns).trades if item.counts]
    )
    inputs = BarInputs(values(served, SIP), values(in_force(events), SIP), deliveries(events))

    assert causes(explain(inputs, rules, SIP.judge)) == expected


@given(streams(), st.booleans(), st.sampled_from([SIP, ALL]))
def test_drift_of_a_layer_that_follows_its_rules_is_fully_explained(
    events: list[Trade | Amendment], repeats: bool, profile: Profile
) -> None:
    """Each reported cause has an event, and each change has its trades."""
    counted = counted_trades(events, repeats=repeats)
    served = values(counted, profile)
    feeds = frozenset() if repeats else frozenset({"truetape"})
    rules = ServingRules(profile.judge, MINUTE, feeds)
    made = deliveries(events)

    drifts = explain(BarInputs(served, values(in_force(events), SIP), made), rules, SIP.judge)

    present = {
        Cause.LATE: {
            item.trade.id
            for item in made
            if item.trade.received_ns - item.trade.event_ns > MINUTE and not item.duplicate
        },
        Cause.DUPLICATE: {
            item.trade.id for item in made if item.duplicate and item.trade in counted
        },
        Cause.CANCEL: {event.id for event in events if type(event).__name__ == "Cancel"},
        Cause.CORRECTION: {event.id for event in events if type(event).__name__ == "Correction"},
        Cause.ELIGIBILITY: {
            item.trade.id
            for item in made
            if SIP.judge(item.trade.conditions) != profile.judge(item.trade.conditions)
        },
    }
    for cause, trades in causes(drifts).items():
        assert trades
        assert trades <= present.get(cause, set())


@given(streams(partitions=1, exact_repeats=True), GAPS, st.booleans())
def test_a_gap_in_the_stream_leaves_nothing_unexplained(
    events: list[Trade | Amendment], gap: tuple[int, int], repeats: bool
) -> None:
    """The driver was down, and then the layer followed its rules."""
    served = values(served_by_speed(events, gap, repeats=repeats), SIP)
    right = values(in_force(events), SIP)
    rules = COUNTS_REPEATS if repeats else SPEED
    made = deliveries(events)

    listed = causes(explain(BarInputs(served, right, made), rules, SIP.judge))

    timely = {item.id for item in counted_trades(events)}
    assert Cause.UNEXPLAINED not in listed
    assert listed.get(Cause.MISSING, set()) <= timely


@given(streams(seconds=0, partitions=1, exact_repeats=True), st.randoms(use_true_random=False))
def test_windows_that_a_partition_had_closed_leave_nothing_unexplained(
    events: list[Trade | Amendment], random: Random
) -> None:
    """The records of one second stand in the stream in any order."""
    offsets = list(range(len(events)))
    random.shuffle(offsets)
    placed = [
        replace(event, position=Position("trades", 0, offset))
        for event, offset in zip(events, offsets, strict=True)
    ]
    closed = closed_out(placed)
    counted = counted_trades(placed, lost=lambda item: item.position in closed)
    inputs = BarInputs(values(counted, SIP), values(in_force(placed), SIP), deliveries(placed))

    listed = causes(explain(inputs, SPEED, SIP.judge))

    assert Cause.UNEXPLAINED not in listed
    assert closed or Cause.MISSING not in listed


@given(streams(), st.integers(0, 300))
def test_only_events_after_a_publication_change_its_bars(
    events: list[Trade | Amendment], seconds: int
) -> None:
    """Nothing is unexplained, at any time of the publication."""
    as_of_ns = NOON + seconds * SECOND
    before = [item.trade for item in canonical(events, VENUES, as_of_ns).trades if item.counts]
    rules = replace(PUBLISHED, as_of_ns=as_of_ns)
    inputs = BarInputs(values(before, SIP), values(in_force(events), SIP), deliveries(events))

    drifts = explain(inputs, rules, SIP.judge)

    came_later = {event.id for event in events if event.received_ns > as_of_ns}
    assert Cause.UNEXPLAINED not in causes(drifts)
    for trades in causes(drifts).values():
        assert trades <= came_later


@given(streams(), st.booleans(), st.sampled_from([SIP, ALL]))
def test_applying_the_listed_causes_to_the_served_bar_gives_the_recomputed_bar(
    events: list[Trade | Amendment], repeats: bool, profile: Profile
) -> None:
    """The replay applies only the listed classes of events."""
    counted = served_by_speed(events, (0, 0), repeats=repeats)
    served, right = values(counted, profile), values(in_force(events), SIP)
    feeds = frozenset() if repeats else frozenset({"truetape"})
    rules = ServingRules(profile.judge, MINUTE, feeds)

    listed = causes(explain(BarInputs(served, right, deliveries(events)), rules, SIP.judge))

    final = {item.id: item for item in in_force(events)}
    state = {item.position: (item, profile) for item in counted}
    counted_ids = {item.id for item in counted}
    if Cause.LATE in listed:
        state |= {
            item.position: (item, SIP) for item in final.values() if item.id not in counted_ids
        }
    if Cause.DUPLICATE in listed:
        repeated = [item.trade for item in deliveries(events) if item.duplicate]
        state = {
            place: counted_trade
            for place, counted_trade in state.items()
            if place not in {item.position for item in repeated}
        }
    if Cause.CORRECTION in listed:
        state = {
            place: (final[item.id], SIP) if is_corrected(item, final) else (item, by)
            for place, (item, by) in state.items()
        }
    if Cause.CANCEL in listed:
        state = {place: (item, by) for place, (item, by) in state.items() if item.id in final}
    if Cause.ELIGIBILITY in listed:
        state = {place: (item, SIP) for place, (item, _) in state.items()}
    assert folded(list(state.values())) == right


def is_corrected(item: Trade, final: dict[str | None, Trade]) -> bool:
    corrected = final.get(item.id, item)
    return (item.price, item.size) != (corrected.price, corrected.size)


def folded(prints: Sequence[tuple[Trade, Profile]]) -> BarValues:
    """Return the bar of prints, each judged by its own profile."""
    by_profile = {
        profile.id: [item for item, judge in prints if judge is profile] for profile in (SIP, ALL)
    }
    totals = [
        reduce(
            merge,
            (tally(item, load(name).judge(item.conditions, item.tape)) for item in group),
            Tally(),
        )
        for name, group in by_profile.items()
    ]
    total = reduce(merge, totals)
    if total.first is None or total.last is None or total.high is None or total.low is None:
        return NO_VALUES
    average = vwap(total.notional, total.priced_volume) or Decimal(0)
    prices = (total.first[1], total.high, total.low, total.last[1])
    return *prices, total.volume, average, Decimal(total.trades)
