"""Causes of drift: each trouble alone gives exactly its cause, and whatever is mixed adds up."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import NOON, SECOND, VENUES, cancel, correction, trade
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
from truetape.market.canonical import amendments_of, canonical
from truetape.market.eligibility import Profile
from truetape.market.trades import Amendment, Position, Trade

SIP, ALL = load("sip"), load("all")
MINUTE = 60 * SECOND
IN_TIME, TOO_LATE = SECOND, 3 * MINUTE
"""Seconds from event to receipt."""
SPEED = ServingRules(SIP.judge, MINUTE, frozenset({"truetape"}))
COUNTS_REPEATS = replace(SPEED, deduplicated_feeds=frozenset())
PUBLISHED = ServingRules(SIP.judge, MINUTE, None, as_of_ns=NOON + 60 * MINUTE)
"""A publication an hour after noon."""


def print_of(number: int, price: str, size: str = "10", **fields: object) -> Trade:
    """Trade number n is n seconds after noon, received a second later, at offset n."""
    event_ns = NOON + number * SECOND
    received_ns = event_ns + int(str(fields.pop("delay", IN_TIME)))
    values: dict[str, object] = {
        "id": str(number),
        "event_ns": event_ns,
        "received_ns": received_ns,
        "offset": number,
    }
    return trade(price, size, **(values | fields))


FIRST, SECOND_ONE, LAST = (print_of(1, "100"), print_of(2, "101"), print_of(3, "99"))
QUIET = (FIRST, SECOND_ONE, LAST)
QUIET_BAR = "100 101 99 99 30 100 3"


def again(one: Trade, offset: int = 50) -> Trade:
    """The same trade, delivered a second time ten seconds later."""
    place = replace(one.position, offset=offset)
    return replace(one, position=place, received_ns=one.received_ns + 10 * SECOND)


def bar(text: str) -> BarValues:
    """Values written as open, high, low, close, volume, vwap, trades."""
    return tuple(Decimal(word) for word in text.split())


def deliveries(events: Sequence[Trade | Amendment]) -> list[TradeDelivery]:
    """What the batch layer knows of events, in stream order, by the reference."""
    trades = [one for one in events if isinstance(one, Trade)]
    amendments = [one for one in events if not isinstance(one, Trade)]
    meant = amendments_of(trades, amendments, VENUES)
    repeats = {item.trade.position for item in canonical(events, VENUES).trades if item.duplicate}
    return [
        TradeDelivery(one, one.position in repeats, tuple(meant.get(one.position, ())))
        for one in sorted(trades, key=lambda one: one.position)
    ]


def causes(drifts: Sequence[FieldDrift]) -> dict[Cause, set[str]]:
    """The trades of each cause, over all fields."""
    found: dict[Cause, set[str]] = {}
    for drift in drifts:
        for part in drift.parts:
            found.setdefault(part.cause, set()).update(part.trades)
    return found


def deltas(drifts: Sequence[FieldDrift]) -> dict[str, str]:
    """The change of each field, as text."""
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
        [*QUIET, again(SECOND_ONE)],
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
    "order": (
        [FIRST, LAST, replace(SECOND_ONE, position=Position("trades", 0, 9))],
        "100 101 99 101 30 100 3",
        QUIET_BAR,
        SPEED,
        Cause.ORDER,
        {"2", "3"},
    ),
    "missing at the end": (
        [*QUIET, print_of(4, "105")],
        QUIET_BAR,
        "100 105 99 105 40 101.25 4",
        SPEED,
        Cause.MISSING,
        {"4"},
    ),
    "missing in the midst": (
        [*QUIET, print_of(4, "105")],
        "100 105 99 105 30 101.33333333 3",
        "100 105 99 105 40 101.25 4",
        SPEED,
        Cause.MISSING,
        {"2"},
    ),
    "missing altogether": (
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
        "101 105 99 105 30 101.66666667 3",
        PUBLISHED,
        Cause.MISSING,
        {"3"},
    ),
}  # fmt: skip
"""Events; the bar as served, and as it is right, by hand; who served it; cause and trades."""


@pytest.mark.parametrize("name", SINGLE)
def test_each_trouble_alone_gives_exactly_its_cause_and_its_trades(name: str) -> None:
    events, served, right, rules, cause, trades = SINGLE[name]

    drifts = explain(BarInputs(bar(served), bar(right), deliveries(events)), rules, SIP.judge)

    assert causes(drifts) == {cause: trades}
    moved = zip(FIELDS, bar(served), bar(right), strict=True)
    assert {drift.field: (drift.before, drift.after) for drift in drifts} == {
        field: (was, now) for field, was, now in moved if was != now
    }


def test_a_field_has_a_part_for_each_cause_and_the_trades_that_matter_to_it() -> None:
    """The late print makes the high and the close, the cancel takes the first print away."""
    late = print_of(4, "105", delay=TOO_LATE)
    events = [*QUIET, late, cancel("1", NOON + 30 * SECOND)]
    window = BarInputs(bar(QUIET_BAR), bar("101 105 99 105 30 101.66666667 3"), deliveries(events))

    drifts = {drift.field: drift for drift in explain(window, SPEED, SIP.judge)}

    told = {
        name: [(part.cause, f"{part.delta.normalize():f}", part.trades) for part in drift.parts]
        for name, drift in drifts.items()
    }
    assert told == {
        "open": [(Cause.CANCEL, "1", ("1",))],
        "high": [(Cause.LATE, "4", ("4",))],
        "close": [(Cause.LATE, "6", ("4",))],
        "volume": [(Cause.LATE, "10", ("4",)), (Cause.CANCEL, "-10", ("1",))],
        "vwap": [(Cause.LATE, "1.25", ("4",)), (Cause.CANCEL, "0.41666667", ("1",))],
        "trades": [(Cause.LATE, "1", ("4",)), (Cause.CANCEL, "-1", ("1",))],
    }
    assert drifts["high"].parts[0].lateness_ns == TOO_LATE
    assert drifts["volume"].delta == 0


def test_a_late_trade_that_was_counted_all_the_same_is_no_cause() -> None:
    """The watermark moves between two batches: the served bar is the evidence, not the clock."""
    events = [*QUIET, print_of(4, "105", delay=TOO_LATE), cancel("1", NOON + 30 * SECOND)]
    window = BarInputs(
        bar("100 105 99 105 40 101.25 4"), bar("101 105 99 105 30 101.66666667 3"),
        deliveries(events),
    )  # fmt: skip

    assert causes(explain(window, SPEED, SIP.judge)) == {Cause.CANCEL: {"1"}}


def test_a_repeat_that_a_feed_should_have_dropped_is_a_duplicate() -> None:
    window = BarInputs(
        bar("100 101 99 99 40 100.25 4"), bar(QUIET_BAR), deliveries([*QUIET, again(SECOND_ONE)])
    )

    assert causes(explain(window, SPEED, SIP.judge)) == {Cause.DUPLICATE: {"2"}}


def test_a_trade_without_id_is_named_by_its_position() -> None:
    nameless = print_of(4, "105", delay=TOO_LATE, id=None)
    window = BarInputs(
        bar(QUIET_BAR), bar("100 105 99 105 40 101.25 4"), deliveries([*QUIET, nameless])
    )

    assert causes(explain(window, SPEED, SIP.judge)) == {Cause.LATE: {"trades/0@4.0"}}


def test_what_no_event_explains_is_unexplained_to_the_last_decimal() -> None:
    """A served high that no print ever had, beside a cancel that explains the rest."""
    events = [*QUIET, cancel("2", NOON + 30 * SECOND)]
    window = BarInputs(
        bar("100 101.5 99 99 30 100 3"), bar("100 100 99 99 20 99.5 2"), deliveries(events)
    )

    drifts = explain(window, SPEED, SIP.judge)

    high = next(drift for drift in drifts if drift.field == "high")
    assert [(part.cause, part.delta) for part in high.parts] == [
        (Cause.CANCEL, Decimal("-1")),
        (Cause.UNEXPLAINED, Decimal("-0.5")),
    ]
    assert not is_explained(drifts)
    assert causes(drifts)[Cause.CANCEL] == {"2"}


def test_a_recomputed_bar_that_its_own_events_do_not_give_is_unexplained() -> None:
    drifts = explain(BarInputs(bar(QUIET_BAR), NO_VALUES, deliveries(QUIET)), SPEED, SIP.judge)

    assert set(causes(drifts)) == {Cause.UNEXPLAINED}
    assert [drift.delta for drift in drifts] == [-value for value in bar(QUIET_BAR)]


def test_prints_that_both_sides_count_alike_may_come_as_one_tally() -> None:
    """The bar and its causes are the same as with every print spelt out."""
    late = print_of(4, "105", delay=TOO_LATE)
    values = bar(QUIET_BAR), bar("100 105 99 105 40 101.25 4")
    base = reduce(merge, (tally(one, SIP.judge(())) for one in QUIET))

    spelt_out = explain(BarInputs(*values, deliveries([*QUIET, late])), SPEED, SIP.judge)

    assert explain(BarInputs(*values, deliveries([late]), base), SPEED, SIP.judge) == spelt_out


def test_a_revert_is_told_not_found() -> None:
    drifts = attribute_to(bar(QUIET_BAR), bar("100 101 99 99 20 100 2"), Cause.REVERT)

    assert causes(drifts) == {Cause.REVERT: set()}
    assert deltas(drifts) == {"volume": "-10", "trades": "-1"}


CONDITIONS = st.sampled_from([(), ("@",), ("I",), ("Z",), ("M",), ("nonsense",)])
PRICES = st.integers(-3, 3).map(lambda step: str(100 + step))


@st.composite
def streams(draw: st.DrawFn) -> list[Trade | Amendment]:
    """Events of one bar in the order of a stream: trades, some late, twice, cancelled, corrected;
    ties in time.
    """
    made: list[Trade | Amendment] = []
    for number in range(draw(st.integers(1, 8))):
        one = print_of(
            number,
            draw(PRICES),
            str(draw(st.integers(0, 9))),
            event_ns=NOON + draw(st.integers(0, 5)) * SECOND,
            delay=draw(st.sampled_from([IN_TIME, IN_TIME, TOO_LATE])),
            conditions=draw(CONDITIONS),
        )
        made.append(one)
        received_ns = one.received_ns + draw(st.integers(1, 90)) * SECOND
        match draw(st.sampled_from(["", "", "", "again", "cancel", "correct"])):
            case "again":
                made.append(replace(one, received_ns=received_ns))
            case "cancel":
                made.append(cancel(str(number), received_ns))
            case "correct":
                made.append(correction(str(number), draw(PRICES), "5", received_ns))
    arrived = sorted(made, key=lambda event: event.received_ns)
    return [
        replace(event, position=Position("trades", 0, offset))
        for offset, event in enumerate(arrived)
    ]


def values(trades: Sequence[Trade], profile: Profile) -> BarValues:
    """The bar of trades, each counted once, by the reference fold."""
    judged = (tally(one, profile.judge(one.conditions, one.tape)) for one in trades)
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
    """A speed layer in four lines: no amendments, nothing late, and a stretch that it lost."""
    heard = [one for place, one in enumerate(events) if not gap[0] <= place < gap[1]]
    timely = [one for one in heard if isinstance(one, Trade) and one.received_ns < NOON + TWO]
    first = {one.id: one for one in reversed(timely)}
    return timely if repeats else list(first.values())


TWO = 2 * MINUTE
"""A minute is closed when the watermark, a minute behind, is past its end."""
GAPS = st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda gap: (gap[0], sum(gap)))


@given(streams(), GAPS, st.booleans(), st.sampled_from([SIP, ALL]))
def test_the_deltas_of_the_causes_add_up_whatever_went_wrong(
    events: list[Trade | Amendment], gap: tuple[int, int], repeats: bool, profile: Profile
) -> None:
    """What was served plus all deltas is what was recomputed, and each field is there once."""
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


@given(streams(), st.booleans(), st.sampled_from([SIP, ALL]))
def test_a_layer_that_keeps_to_its_rules_leaves_nothing_unexplained(
    events: list[Trade | Amendment], repeats: bool, profile: Profile
) -> None:
    """And no cause is named of which there is no event, and no change is without its trades."""
    served = values(served_by_speed(events, (0, 0), repeats=repeats), profile)
    feeds = frozenset() if repeats else frozenset({"truetape"})
    rules = ServingRules(profile.judge, MINUTE, feeds)
    made = deliveries(events)

    drifts = explain(BarInputs(served, values(in_force(events), SIP), made), rules, SIP.judge)

    present = {
        Cause.LATE: {item.trade.id for item in made if rules.is_late(item.trade)},
        Cause.DUPLICATE: {item.trade.id for item in made if item.duplicate and repeats},
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


@given(streams(), st.integers(0, 300))
def test_what_changed_a_published_bar_came_after_its_publication(
    events: list[Trade | Amendment], seconds: int
) -> None:
    """And nothing is unexplained, whenever the publication was."""
    as_of_ns = NOON + seconds * SECOND
    before = [item.trade for item in canonical(events, VENUES, as_of_ns).trades if item.counts]
    rules = replace(PUBLISHED, as_of_ns=as_of_ns)
    window = BarInputs(values(before, SIP), values(in_force(events), SIP), deliveries(events))

    drifts = explain(window, rules, SIP.judge)

    came_later = {event.id for event in events if event.received_ns > as_of_ns}
    assert Cause.UNEXPLAINED not in causes(drifts)
    for trades in causes(drifts).values():
        assert trades <= came_later


@given(streams(), st.booleans(), st.sampled_from([SIP, ALL]))
def test_applying_the_listed_causes_to_what_was_served_gives_what_was_recomputed(
    events: list[Trade | Amendment], repeats: bool, profile: Profile
) -> None:
    """A replay that knows nothing of the classes that were not listed."""
    counted = served_by_speed(events, (0, 0), repeats=repeats)
    served, right = values(counted, profile), values(in_force(events), SIP)
    feeds = frozenset() if repeats else frozenset({"truetape"})
    rules = ServingRules(profile.judge, MINUTE, feeds)

    listed = causes(explain(BarInputs(served, right, deliveries(events)), rules, SIP.judge))

    final = {one.id: one for one in in_force(events)}
    state = {one.position: (one, profile) for one in counted}
    known = {one.id for one in counted}
    if Cause.LATE in listed:
        state |= {one.position: (one, SIP) for one in final.values() if one.id not in known}
    if Cause.DUPLICATE in listed:
        repeated = [item.trade for item in deliveries(events) if item.duplicate]
        state = {
            place: one
            for place, one in state.items()
            if place not in {one.position for one in repeated}
        }
    if Cause.CORRECTION in listed:
        state = {
            place: (final[one.id], SIP) if is_corrected(one, final) else (one, by)
            for place, (one, by) in state.items()
        }
    if Cause.CANCEL in listed:
        state = {place: (one, by) for place, (one, by) in state.items() if one.id in final}
    if Cause.ELIGIBILITY in listed:
        state = {place: (one, SIP) for place, (one, _) in state.items()}
    assert folded(list(state.values())) == right


def is_corrected(one: Trade, final: dict[str | None, Trade]) -> bool:
    return one.id in final and (one.price, one.size) != (final[one.id].price, final[one.id].size)


def folded(prints: Sequence[tuple[Trade, Profile]]) -> BarValues:
    """The bar of prints that are judged by profiles of their own."""
    by_profile = {
        profile.id: [one for one, judge in prints if judge is profile] for profile in (SIP, ALL)
    }
    totals = [
        reduce(
            merge, (tally(one, load(name).judge(one.conditions, one.tape)) for one in some), Tally()
        )
        for name, some in by_profile.items()
    ]
    total = reduce(merge, totals)
    if total.first is None or total.last is None or total.high is None or total.low is None:
        return NO_VALUES
    average = vwap(total.notional, total.priced_volume) or Decimal(0)
    prices = (total.first[1], total.high, total.low, total.last[1])
    return *prices, total.volume, average, Decimal(total.trades)
