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
from truetape.host.venues import venues
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
    ("instant", "session"),
    [
        ("2026-03-06T21:59:59", "2026-03-05"),
        ("2026-03-06T22:00:00", "2026-03-06"),
        ("2026-03-09T03:00:00", "2026-03-06"),
        ("2026-11-26T18:00:00", "2026-11-26"),
        ("2026-12-27T23:00:00", "2026-12-24"),
    ],
    ids=[
        "a second before the close",
        "at the close",
        "the monday trades",
        "thanksgiving",
        "sunday",
    ],
)
def test_the_last_session_over_midnight_is_the_newest_closed_one(
    instant: str, session: str
) -> None:
    found = last_regular(venues()["XCME"], at(instant))

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


def test_a_session_that_begins_after_its_open_is_refused() -> None:
    """The message has the local times, and where to look."""
    futures = replace(NEW_YORK, zone="America/Chicago", calendar="CMES")

    with pytest.raises(ConfigError) as raised:
        sessions(futures, date(2026, 11, 20), date(2026, 11, 20))

    assert "CMES, 2026-11-19 17:00 to 2026-11-20 17:00, is not inside" in str(raised.value)
    assert "begins 2026-11-20 00:00 in America/Chicago; check `begins`" in str(raised.value)


@pytest.mark.parametrize(
    ("venue", "day", "opens", "closes"),
    [
        ("XCME", "2026-03-06", "2026-03-05T23:00:00", "2026-03-06T22:00:00"),
        ("XCME", "2026-03-09", "2026-03-08T22:00:00", "2026-03-09T21:00:00"),
        ("XCME", "2026-10-30", "2026-10-29T22:00:00", "2026-10-30T21:00:00"),
        ("XCME", "2026-11-02", "2026-11-01T23:00:00", "2026-11-02T22:00:00"),
        ("XCME", "2026-11-26", "2026-11-25T23:00:00", "2026-11-26T18:00:00"),
        ("XCME", "2026-01-02", "2026-01-01T23:00:00", "2026-01-02T22:00:00"),
        ("FX", "2026-03-09", "2026-03-08T21:00:00", "2026-03-09T21:00:00"),
        ("FX", "2026-11-02", "2026-11-01T22:00:00", "2026-11-02T22:00:00"),
        ("XTKS", "2024-11-01", "2024-11-01T00:00:00", "2024-11-01T06:00:00"),
        ("XTKS", "2026-03-09", "2026-03-09T00:00:00", "2026-03-09T06:30:00"),
        ("XASX", "2026-12-24", "2026-12-23T23:00:00", "2026-12-24T03:10:00"),
    ],
    ids=[
        "globex, friday",
        "globex, clocks forward",
        "globex, before clocks go back",
        "globex, clocks back",
        "globex, thanksgiving closes at noon",
        "globex, after new year",
        "currencies, clocks forward",
        "currencies, clocks back",
        "tokyo, before its close was later",
        "tokyo, no lunch break",
        "sydney, christmas eve",
    ],
)
def test_a_regular_session_of_a_declared_venue(
    venue: str, day: str, opens: str, closes: str
) -> None:
    """The opens and closes are those that the exchanges publish."""
    found = parse_session(venue, day)

    assert (found.open_ns, found.close_ns) == (at(opens), at(closes))


@pytest.mark.parametrize(
    ("venue", "day"),
    [("XCME", "2026-04-03"), ("XCME", "2026-12-25"), ("XCME", "2026-03-07"), ("FX", "2026-12-25"),
     ("FX", "2027-01-01"), ("XTKS", "2026-01-02"), ("XASX", "2026-01-26")],
)  # fmt: skip
def test_a_holiday_of_a_declared_venue_has_no_regular_session(venue: str, day: str) -> None:
    assert parse_session(venue, day).open_ns is None


@pytest.mark.parametrize("code", sorted(venues()))
def test_the_sessions_of_ten_years_tile_time(code: str) -> None:
    """Each instant has one session, and each regular session lies in the session of its date."""
    venue = venues()[code]
    days = sessions(venue, date(2017, 1, 1), date(2026, 12, 31))

    assert all(left.end_ns == right.start_ns for left, right in pairwise(days))
    for day in days:
        assert venue.date_of(day.start_ns) == venue.date_of(day.end_ns - 1) == day.date
        if day.open_ns is not None and day.close_ns is not None:
            _, auction_end = day.auction_ns or (0, 0)
            assert day.start_ns <= day.open_ns < day.close_ns <= day.end_ns
            assert auction_end <= day.end_ns
            assert venue.date_of(day.open_ns) == day.date


@pytest.mark.parametrize(
    ("first", "last"),
    [(date(2026, 1, 2), date(2026, 1, 1)), (date(1800, 1, 1), date(2026, 1, 1))],
    ids=["backwards", "too long"],
)
def test_an_invalid_range_is_refused(first: date, last: date) -> None:
    with pytest.raises(ConfigError, match="in order"):
        sessions(KRAKEN, first, last)


def test_an_unknown_calendar_is_named_with_names_like_it() -> None:
    with pytest.raises(ConfigError, match=r"'XNYX'.*names like it: .*XNYS"):
        sessions(replace(NEW_YORK, calendar="XNYX"), date(2026, 1, 1), date(2026, 1, 1))
