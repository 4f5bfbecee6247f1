"""The kernel's bars equal those of the reference, whatever comes twice and in whatever order."""

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import SECOND, VENUES, trade
from support.kernel_rows import deliveries_of
from support.machines import examples
from support.market import (
    CONDITIONS,
    LEAN_CONDITIONS,
    events,
    markets,
    second_deliveries,
)
from truetape.host.calendars import sessions
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.kernel import fold
from truetape.kernel.changes import changes
from truetape.kernel.columns import POSITION
from truetape.kernel.judge import judge
from truetape.kernel.settle import settle
from truetape.market.bars import Bar, Tally, bars, merge, tally
from truetape.market.canonical import canonical
from truetape.market.eligibility import Profile
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Origin, Timeframe, parse_timeframe
from truetape.market.trades import Event

DAY = date(2026, 11, 20)
SESSION = sessions(VENUES["XNYS"], DAY, DAY)[0]
PROFILES = st.sampled_from(["sip", "lean", "all"]).map(load)
CODES = (*CONDITIONS, *LEAN_CONDITIONS)


def kernel_bars(arrivals: Sequence[Event], profile: Profile) -> list[Bar]:
    judged = judge(settle(deliveries_of(arrivals), VENUES), profile)
    return [
        Bar(resolution=resolution, **row)
        for resolution in Resolution
        for row in fold.bars(judged, resolution, {"XNYS": [SESSION]}).to_pylist()
    ]


def reference_bars(arrivals: Sequence[Event], profile: Profile) -> list[Bar]:
    settled = canonical(arrivals, VENUES).trades
    return [
        bar
        for resolution in Resolution
        for bar in bars(settled, profile, resolution, {"XNYS": [SESSION]})
    ]


@examples(60)
@given(events())
def test_repeats_cancels_corrections_and_clashes_equal_those_of_the_reference(
    happened: list[Event],
) -> None:
    reference = canonical(happened, VENUES)
    deliveries = deliveries_of(happened)
    settled = settle(deliveries, VENUES).sort_by("ordinal")

    flags = settled.select(["offset", "price", "size", "duplicate", "cancelled", "corrected"])
    assert [tuple(row.values()) for row in flags.to_pylist()] == [
        (
            item.trade.position.offset,
            item.trade.price,
            item.trade.size,
            item.duplicate,
            item.cancelled,
            item.corrected,
        )
        for item in reference.trades
    ]
    assert changes(deliveries, VENUES, None) == reference.changes


OTHER_WIDTHS = [
    *(parse_timeframe(text) for text in ("2s", "15m", "4h", "1w", "1M")),
    *(parse_timeframe(text, Origin.OPEN) for text in ("1m", "1h", "6h", "1d", "1w")),
]
MONTH = sessions(VENUES["XNYS"], date(2026, 11, 1), date(2026, 11, 30))


@examples(20)
@given(markets(events(CODES), most=4), PROFILES, st.sampled_from(OTHER_WIDTHS))
def test_bars_of_any_width_and_origin_equal_the_reference(
    drawn: dict[str, list[Event]], profile: Profile, width: Timeframe
) -> None:
    happened = [event for market in drawn.values() for event in market]
    judged = judge(settle(deliveries_of(happened), VENUES), profile)
    by_kernel = fold.bars(judged, width, {"XNYS": MONTH}).to_pylist()

    assert [Bar(resolution=width, **row) for row in by_kernel] == bars(
        canonical(happened, VENUES).trades, profile, width, {"XNYS": MONTH}
    )


@pytest.mark.parametrize("width", OTHER_WIDTHS, ids=lambda width: f"{width.value} {width.origin}")
def test_sessions_over_midnight_and_changes_of_the_clock_have_the_same_bars(
    width: Timeframe,
) -> None:
    """Two weeks of Chicago, with the end of summer time between them."""
    chicago, rng = venues()["XCME"], random.Random(11)
    first = chicago.session_start_ns(date(2026, 10, 26))
    happened: list[Event] = [
        trade(
            str(100 + rng.randrange(9)),
            venue="XCME",
            event_ns=first + rng.randrange(14 * 86_400) * SECOND,
            offset=number,
        )
        for number in range(400)
    ]
    days = {"XCME": sessions(chicago, date(2026, 10, 1), date(2026, 11, 30))}
    judged = judge(settle(deliveries_of(happened), venues()), load("all"))

    by_kernel = fold.bars(judged, width, days).to_pylist()

    expected = bars(canonical(happened, venues()).trades, load("all"), width, days)
    assert [Bar(resolution=width, **row) for row in by_kernel] == expected
    assert len(expected) > 1


def test_instants_before_1970_are_counted_from_the_open_too() -> None:
    day = date(1965, 3, 3)
    session = sessions(VENUES["XNYS"], day, day)[0]
    moments = [session.start_ns, (session.open_ns or 0) - 1, session.open_ns, session.end_ns - 1]
    happened = [trade(event_ns=moment, offset=number) for number, moment in enumerate(moments)]
    width = parse_timeframe("4h", Origin.OPEN)
    judged = judge(settle(deliveries_of(happened), VENUES), load("all"))

    starts = fold.bars(judged, width, {"XNYS": [session]})["start_ns"].to_pylist()

    assert starts == sorted({width.start_of(moment or 0, session) for moment in moments})


@examples(20)
@given(markets(events(CODES), most=6), PROFILES, st.integers(0, 99))
def test_bars_equal_the_reference_whatever_comes_twice_and_in_whatever_order(
    drawn: dict[str, list[Event]], profile: Profile, order: int
) -> None:
    happened = [event for market in drawn.values() for event in market]
    arrivals = [*happened, *second_deliveries(happened)]
    random.Random(order).shuffle(arrivals)

    assert kernel_bars(arrivals, profile) == reference_bars(happened, profile)


@examples(20)
@given(markets(events(CODES), most=6), PROFILES)
def test_tallies_of_any_groups_equal_the_reference(
    drawn: dict[str, list[Event]], profile: Profile
) -> None:
    """`row` names the prints that set open and close."""
    happened = [event for market in drawn.values() for event in market]
    judged = judge(settle(deliveries_of(happened), VENUES), profile)
    counting = judged.filter(~pc.field("duplicate") & ~pc.field("cancelled"))
    groups = [(row["symbol"], row["venue"]) for row in counting.to_pylist()]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    prints = counting.append_column("number", pa.array([numbers[group] for group in groups]))
    prints = prints.append_column("row", pa.array(range(len(groups)), pa.int64()))

    expected: dict[int, Tally] = defaultdict(Tally)
    for counted in (item.trade for item in canonical(happened, VENUES).trades if item.counts):
        own = tally(counted, profile.judge(counted.conditions, counted.tape))
        number = numbers[counted.symbol, counted.venue]
        expected[number] = merge(expected[number], own)
    places = list(zip(*(counting[name].to_pylist() for name in POSITION), strict=True))
    folded = {row["number"]: row for row in fold.tallies_of(prints).to_pylist()}
    assert folded.keys() == expected.keys()
    for number, total in expected.items():
        row = folded[number]
        assert (row["high"], row["low"], row["volume"]) == (total.high, total.low, total.volume)
        assert (row["notional"], row["priced_volume"]) == (total.notional, total.priced_volume)
        assert row["trades"] == total.trades
        for name, price, end in (("first", "open", total.first), ("last", "close", total.last)):
            assert row[price] == (end and end[1])
            assert end is None or places[row[name]] == end[0][3:]
