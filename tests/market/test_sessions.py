"""Sessions: dates on a venue's wall clock, and the regular session."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import KRAKEN, NEW_YORK, SECOND, at
from truetape.market.sessions import Session, Venue, session_of

DAY = date(2026, 11, 20)
OPENS, CLOSES = at("2026-11-20T14:30:00"), at("2026-11-20T21:00:00")
GLOBEX = Venue(
    "XCME", "CME Globex", "America/Chicago", "CMES", begins_min=-7 * 60, closes_min=16 * 60
)
SYDNEY = Venue("XASX", "ASX", "Australia/Sydney", "XASX", auction_min=(10, 12))
CURRENCIES = Venue(
    "FX", "Foreign exchange", "America/New_York", None, begins_min=-7 * 60,
    weekdays=(0, 1, 2, 3, 4), closed=("12-25",),
)  # fmt: skip
ODD_ZONES = (
    "America/Chicago", "Europe/London", "Australia/Sydney", "Australia/Lord_Howe", "Asia/Tokyo",
    "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia",
    "Pacific/Kiritimati", "Etc/GMT+12", "UTC",
)  # fmt: skip
"""Among them: clocks that are set at midnight, by half an hour, and a date that never was."""


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-11-20T04:59:59.999999", date(2026, 11, 19)),
        ("2026-11-20T05:00:00", date(2026, 11, 20)),
        ("2026-07-01T04:00:00", date(2026, 7, 1)),
        ("2026-07-01T03:59:59", date(2026, 6, 30)),
    ],
    ids=["winter, before midnight", "winter, midnight", "summer, midnight", "summer, before"],
)
def test_the_session_date_is_the_date_in_new_york(instant: str, day: date) -> None:
    assert NEW_YORK.date_of(at(instant)) == day


def test_a_round_the_clock_venue_has_utc_dates() -> None:
    assert KRAKEN.date_of(at("2026-11-20T00:00:00")) == date(2026, 11, 20)
    assert KRAKEN.date_of(at("2026-11-20T00:00:00") - 1) == date(2026, 11, 19)
    assert KRAKEN.date_of(-1) == date(1969, 12, 31)


def test_midnight_follows_daylight_saving() -> None:
    assert NEW_YORK.session_start_ns(date(2026, 11, 1)) == at("2026-11-01T04:00:00")
    assert NEW_YORK.session_start_ns(date(2026, 11, 2)) == at("2026-11-02T05:00:00")


def test_a_session_is_half_open_at_both_its_ends() -> None:
    session = session_of(NEW_YORK, DAY, (OPENS, CLOSES))

    assert [session.is_regular(t) for t in (OPENS - 1, OPENS, CLOSES - 1, CLOSES)] == [
        False,
        True,
        True,
        False,
    ]
    midnight, next_midnight = at("2026-11-20T05:00:00"), at("2026-11-21T05:00:00")
    assert [session.contains(t) for t in (midnight - 1, midnight, next_midnight - 1)] == [
        False,
        True,
        True,
    ]
    assert not session.contains(next_midnight)


def test_a_closed_day_may_have_trades_but_no_regular_ones() -> None:
    session = session_of(NEW_YORK, DAY, None)

    assert session.contains(OPENS)
    assert not session.is_regular(OPENS)


def test_a_venue_without_calendar_is_regular_all_day() -> None:
    start, end = at("2026-11-20T00:00:00"), at("2026-11-21T00:00:00")

    assert session_of(KRAKEN, DAY, None) == Session("KRAKEN", DAY, start, end, start, end)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-03-05T22:59:59", "2026-03-05"),
        ("2026-03-05T23:00:00", "2026-03-06"),
        ("2026-03-06T06:00:00", "2026-03-06"),
        ("2026-03-06T22:59:59", "2026-03-06"),
        ("2026-03-06T23:00:00", "2026-03-07"),
        ("2026-03-08T21:59:59", "2026-03-08"),
        ("2026-03-08T22:00:00", "2026-03-09"),
        ("2026-11-01T22:59:59", "2026-11-01"),
        ("2026-11-01T23:00:00", "2026-11-02"),
    ],
    ids=[
        "before it begins",
        "it begins on the evening before",
        "after midnight",
        "the last second of the Friday",
        "a Friday evening is of the Saturday",
        "before the Sunday evening, clocks forward",
        "a Sunday evening is of the Monday, clocks forward",
        "before the Sunday evening, clocks back",
        "a Sunday evening is of the Monday, clocks back",
    ],
)
def test_a_session_over_midnight_belongs_to_its_date(instant: str, day: str) -> None:
    assert GLOBEX.date_of(at(instant)) == date.fromisoformat(day)


def test_a_venue_may_close_before_its_calendar_but_never_after() -> None:
    evening, noon = at("2026-11-25T23:00:00"), at("2026-11-26T18:00:00")
    break_begins, ends = at("2026-11-26T22:00:00"), at("2026-11-26T23:00:00")

    whole = session_of(GLOBEX, date(2026, 11, 26), (evening, ends))
    early = session_of(GLOBEX, date(2026, 11, 26), (evening, noon))

    assert whole == Session("XCME", date(2026, 11, 26), evening, ends, evening, break_begins)
    assert early.close_ns == noon


def test_the_prints_of_a_closing_auction_are_of_the_day_without_a_condition() -> None:
    opens, closes = at("2026-11-20T23:00:00"), at("2026-11-21T05:00:00")
    session = session_of(SYDNEY, date(2026, 11, 21), (opens, closes))
    auction, over = at("2026-11-21T05:10:00"), at("2026-11-21T05:12:00")

    assert session.auction_ns == (auction, over)
    edges = (opens - 1, opens, closes - 1, closes, auction - 1, auction, over - 1, over)
    assert [session.is_in_day(instant, auction=False) for instant in edges] == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert session.is_in_day(over, auction=True)
    closed = session_of(SYDNEY, date(2026, 11, 21), None)
    assert closed.auction_ns is None
    assert not closed.is_in_day(auction, auction=True)


@pytest.mark.parametrize(
    ("day", "is_open"),
    [("2026-11-06", True), ("2026-11-07", False), ("2026-11-08", False), ("2026-12-25", False)],
    ids=["friday", "saturday", "sunday", "christmas"],
)
def test_a_venue_without_calendar_may_close_on_days_of_its_own(day: str, is_open: bool) -> None:
    session = session_of(CURRENCIES, date.fromisoformat(day), None)

    whole = (session.start_ns, session.end_ns) if is_open else (None, None)
    assert (session.open_ns, session.close_ns) == whole


@given(
    st.sampled_from(ODD_ZONES),
    st.integers(-23, 23),
    st.dates(date(1990, 1, 1), date(2036, 12, 31)),
    st.lists(st.integers(0, 10 * 86_400 * SECOND), max_size=20),
)
def test_sessions_tile_time_whenever_they_begin(
    zone: str, hour: int, first: date, offsets: list[int]
) -> None:
    """No instant is without a session, none has two, and `date_of` names the one that it is in."""
    venue = Venue("ANY", "any", zone, None, begins_min=hour * 60)
    days = [first + timedelta(days=after) for after in range(11)]
    sessions = [session_of(venue, day, None) for day in days]
    start, end = sessions[0].start_ns, sessions[-1].end_ns
    edges = [edge for each in sessions for edge in (each.start_ns, each.end_ns - 1)]

    assert all(left.end_ns == right.start_ns for left, right in pairwise(sessions))
    for instant in [*(start + offset for offset in offsets), *edges]:
        if start <= instant < end:
            assert [each.date for each in sessions if each.contains(instant)] == [
                venue.date_of(instant)
            ]
