"""Sessions: dates on a venue's wall clock, and the regular session."""

from datetime import date

import pytest

from support.build import KRAKEN, NEW_YORK, at
from truetape.market.sessions import Session, session_of

DAY = date(2026, 11, 20)
OPENS, CLOSES = at("2026-11-20T14:30:00"), at("2026-11-20T21:00:00")


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
    assert NEW_YORK.midnight_ns(date(2026, 11, 1)) == at("2026-11-01T04:00:00")
    assert NEW_YORK.midnight_ns(date(2026, 11, 2)) == at("2026-11-02T05:00:00")


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
