"""Calendars: sessions as the exchange published them, half days and holidays included."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from support.build import KRAKEN, NEW_YORK, SECOND, at
from truetape.host.calendars import (
    last_regular,
    next_regular,
    parse_session,
    session,
    sessions,
)
from truetape.host.errors import ConfigError
from truetape.market.sessions import Venue

MINUTE = 60 * SECOND


def test_every_date_of_the_range_has_one_session() -> None:
    week = sessions(NEW_YORK, date(2026, 11, 20), date(2026, 11, 24))

    assert [session.date.day for session in week] == [20, 21, 22, 23, 24]
    assert [session.open_ns is not None for session in week] == [True, False, False, True, True]
    assert all(left.end_ns == right.start_ns for left, right in pairwise(week))


@pytest.mark.parametrize("day", [date(2026, 11, 27), date(2026, 12, 24)], ids=str)
def test_a_half_day_is_210_minutes(day: date) -> None:
    (session,) = sessions(NEW_YORK, day, day)

    assert (session.open_ns, session.close_ns) == (at(f"{day}T14:30:00"), at(f"{day}T18:00:00"))
    assert at(f"{day}T18:00:00") - at(f"{day}T14:30:00") == 210 * MINUTE


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2026, 10, 30), "2026-10-30T13:30:00", "2026-10-30T20:00:00"),
        (date(2026, 11, 2), "2026-11-02T14:30:00", "2026-11-02T21:00:00"),
        (date(2013, 10, 7), "2013-10-07T13:30:00", "2013-10-07T20:00:00"),
    ],
    ids=["summer time", "winter time", "years ago"],
)
def test_the_open_follows_the_wall_clock_of_new_york(day: date, opens: str, closes: str) -> None:
    (session,) = sessions(NEW_YORK, day, day)

    assert (session.open_ns, session.close_ns) == (at(opens), at(closes))


@pytest.mark.parametrize(
    "day",
    [date(2025, 1, 9), date(2018, 12, 5), date(2012, 10, 29), date(2026, 11, 26)],
    ids=["mourning 2025", "mourning 2018", "hurricane", "thanksgiving"],
)
def test_a_closed_day_has_no_regular_session(day: date) -> None:
    (session,) = sessions(NEW_YORK, day, day)

    assert (session.open_ns, session.close_ns) == (None, None)


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 11, 20), 24)],
    ids=["clocks go forward", "clocks go back", "plain"],
)
def test_a_trading_day_is_the_local_date_whatever_its_length(day: date, hours: int) -> None:
    (session,) = sessions(NEW_YORK, day, day)

    assert session.end_ns - session.start_ns == hours * 60 * MINUTE


def test_a_venue_without_a_calendar_trades_the_utc_day() -> None:
    (session,) = sessions(KRAKEN, date(2026, 11, 22), date(2026, 11, 22))

    assert session.open_ns == session.start_ns == at("2026-11-22T00:00:00")
    assert session.close_ns == session.end_ns == at("2026-11-23T00:00:00")


@pytest.mark.parametrize(
    ("instant", "session"),
    [
        ("2026-11-27T17:59:59", "2026-11-25"),
        ("2026-11-27T18:00:00", "2026-11-27"),
        ("2026-11-30T03:00:00", "2026-11-27"),
        ("2012-10-30T23:00:00", "2012-10-26"),
    ],
    ids=["a second before the early close", "at the early close", "sunday night", "hurricane"],
)
def test_the_last_session_is_the_newest_closed_one(instant: str, session: str) -> None:
    found = last_regular(NEW_YORK, at(instant))

    assert found is not None
    assert str(found.date) == session


@pytest.mark.parametrize(
    ("day", "session"),
    [("2026-11-25", "2026-11-25"), ("2026-11-26", "2026-11-27"), ("2001-09-11", "2001-09-17")],
    ids=["an open day itself", "thanksgiving", "september 2001"],
)
def test_the_next_session_is_the_first_open_day(day: str, session: str) -> None:
    found = next_regular(NEW_YORK, date.fromisoformat(day))

    assert found is not None
    assert str(found.date) == session


@pytest.mark.parametrize("venue", [NEW_YORK, KRAKEN], ids=["an exchange", "trading all day"])
@pytest.mark.parametrize("day", [date.min, date(1677, 12, 31), date(2262, 1, 1), date.max], ids=str)
def test_a_date_beyond_64_bits_of_nanoseconds_is_refused(venue: Venue, day: date) -> None:
    with pytest.raises(ConfigError, match=f"{day} is outside of 1678-01-01 to 2261-12-31"):
        session(venue, day)
    assert next_regular(venue, date.max) is None


@pytest.mark.parametrize("day", [date(1678, 1, 1), date(2000, 2, 29), date(2261, 12, 31)], ids=str)
def test_the_first_and_the_last_date_have_sessions(day: date) -> None:
    assert session(KRAKEN, day).end_ns - session(KRAKEN, day).start_ns == 86_400 * 10**9
    assert last_regular(KRAKEN, session(KRAKEN, day).end_ns) == session(KRAKEN, day)


@pytest.mark.parametrize("text", ["20261120", "2026-W47-5", "2026-02-29", "\uff12026-11-20", ""])
def test_a_date_is_written_in_one_way(text: str) -> None:
    with pytest.raises(ConfigError, match="not a date"):
        parse_session("XNYS", text)


def test_an_unknown_calendar_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="calendar 'NOPE'"):
        sessions(replace(NEW_YORK, calendar="NOPE"), date(2026, 1, 1), date(2026, 1, 1))


def test_a_calendar_over_midnight_is_refused() -> None:
    futures = replace(NEW_YORK, zone="America/Chicago", calendar="CMES")

    with pytest.raises(ConfigError, match="over midnight"):
        sessions(futures, date(2026, 11, 20), date(2026, 11, 20))


@pytest.mark.parametrize(
    ("first", "last"),
    [(date(2026, 1, 2), date(2026, 1, 1)), (date(1800, 1, 1), date(2026, 1, 1))],
    ids=["backwards", "too long"],
)
def test_an_invalid_range_is_refused(first: date, last: date) -> None:
    with pytest.raises(ConfigError, match="in order"):
        sessions(KRAKEN, first, last)
