"""The kernel's bars equal those of the reference, whatever comes twice and in whatever order."""

import random
from collections.abc import Iterable, Sequence
from datetime import date

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from support.build import VENUES
from support.market import (
    CONDITIONS,
    EVENT_COLUMNS,
    LEAN_CONDITIONS,
    event_row,
    events,
    markets,
    second_deliveries,
)
from truetape.host.calendars import sessions
from truetape.host.profiles import load
from truetape.kernel import fold
from truetape.kernel.columns import DELIVERIES
from truetape.kernel.judge import judge
from truetape.kernel.settle import settle
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.eligibility import Profile
from truetape.market.resolution import Resolution
from truetape.market.trades import Cancel, Event, notional

DAY = date(2026, 11, 20)
SESSION = sessions(VENUES["XNYS"], DAY, DAY)[0]
PROFILES = st.sampled_from(["sip", "lean", "all"]).map(load)
CODES = (*CONDITIONS, *LEAN_CONDITIONS)


def deliveries_of(happened: Iterable[Event]) -> pa.Table:
    return pa.Table.from_pylist([_row(event) for event in happened], DELIVERIES)


def _row(event: Event) -> dict[str, object]:
    row = dict(zip(EVENT_COLUMNS, event_row(event), strict=True))
    if not isinstance(event, Cancel):
        row["notional"] = notional(event.price, event.size)
    return row


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


@settings(deadline=None)
@given(markets(events(CODES), most=6), PROFILES, st.integers(0, 99))
def test_bars_equal_the_reference_whatever_comes_twice_and_in_whatever_order(
    drawn: dict[str, list[Event]], profile: Profile, order: int
) -> None:
    happened = [event for market in drawn.values() for event in market]
    arrivals = [*happened, *second_deliveries(happened)]
    random.Random(order).shuffle(arrivals)

    assert kernel_bars(arrivals, profile) == reference_bars(happened, profile)
