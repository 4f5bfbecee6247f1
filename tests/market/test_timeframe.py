"""Timeframes: which widths there are, where a bar starts, and what it is rolled up from."""

from datetime import date

import pytest

from support.build import KRAKEN, NEW_YORK, at
from truetape.host.calendars import session, sessions
from truetape.host.venues import venue_named
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.timeframe import Origin, Timeframe, parse_timeframe, timeframe_of

FRIDAY = session(NEW_YORK, date(2026, 11, 20))
BLACK_FRIDAY = session(NEW_YORK, date(2026, 11, 27))
THANKSGIVING = session(NEW_YORK, date(2026, 11, 26))
MUMBAI = session(venue_named("XNSE"), date(2026, 11, 20))
FOREVER = (0, 2**63 - 1)


def from_open(text: str) -> Timeframe:
    return parse_timeframe(text, Origin.OPEN)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", "1s"), ("15s", "15s"), ("90s", "90s"), ("60s", "1m"), ("15m", "15m"), ("60m", "1h"),
        ("720m", "12h"), ("4h", "4h"), ("1d", "1d"), ("1w", "1w"), ("1M", "1M"),
    ],
)  # fmt: skip
def test_each_width_that_divides_a_day_has_one_name(text: str, value: str) -> None:
    assert parse_timeframe(text).value == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7m", "7m does not divide a day; 6m and 8m do"),
        ("7s", "7s does not divide a day; 6s and 8s do"),
        ("5h", "5h does not divide a day; 4h and 6h do"),
        ("36h", "36h does not divide a day; 12h and 1d do"),
        ("24h", "24h is a day; write 1d, whose bars are sessions"),
        ("1440m", "1440m is a day; write 1d"),
        ("2w", "bars of 2w are not offered; of whole days there are 1d, 1w and 1M"),
        ("3M", "bars of 3M are not offered"),
        ("0m", "'0m' is no width of bars; write it like 15s"),
        ("1.5h", "'1.5h' is no width"),
        ("15 m", "'15 m' is no width"),
        ("15min", "'15min' is no width"),
        ("m", "'m' is no width"),
        ("", "'' is no width"),
        ("-5m", "'-5m' is no width"),
        ("٣m", "is no width"),
        ("9" * 5_000 + "m", "is no width"),
    ],
)
def test_any_other_width_is_refused_with_what_can_be_written(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse_timeframe(text)
    assert len(str(refused.value)) < 200


def test_the_stored_resolutions_are_timeframes() -> None:
    assert [parse_timeframe(stored.value) for stored in Resolution] == [
        timeframe_of(stored) for stored in Resolution
    ]
    assert [timeframe_of(stored).stored for stored in Resolution] == list(Resolution)


@pytest.mark.parametrize(
    ("timeframe", "stored"),
    [
        (parse_timeframe("15m"), None),
        (parse_timeframe("1w"), None),
        (from_open("1h"), None),
        (from_open("1d"), Resolution.DAY),
    ],
    ids=["15m", "1w", "1h from the open", "1d starts at the open anyway"],
)
def test_other_bars_are_not_stored(timeframe: Timeframe, stored: Resolution | None) -> None:
    assert timeframe.stored is stored


@pytest.mark.parametrize(
    ("timeframe", "sessions", "source"),
    [
        (parse_timeframe("15s"), (), "1s"),
        (parse_timeframe("90s"), (), "1s"),
        (parse_timeframe("3m"), (), "1m"),
        (parse_timeframe("15m"), (), "5m"),
        (parse_timeframe("4h"), (), "1h"),
        (parse_timeframe("1w"), (), "1d"),
        (parse_timeframe("1M"), (), "1d"),
        (from_open("1h"), (FRIDAY,), "5m"),
        (from_open("1h"), (THANKSGIVING,), "1h"),
        (from_open("4h"), (MUMBAI,), "5m"),
        (from_open("4h"), (session(KRAKEN, date(2026, 11, 20)),), "1h"),
        (
            from_open("1h"),
            (Session("XTAE", date(2026, 1, 1), 0, 10**15, 25_140 * 10**9, 10**14),),
            "1m",
        ),
    ],
    ids=lambda value: getattr(value, "value", None),
)
def test_a_roll_up_reads_the_widest_stored_bars_that_add_up(
    timeframe: Timeframe, sessions: tuple[Session, ...], source: str
) -> None:
    """Tel Aviv opens at 09:59, which is on the grid of minutes only."""
    assert timeframe.source(sessions).value == source


@pytest.mark.parametrize(
    ("timeframe", "session", "instant", "start"),
    [
        (parse_timeframe("15m"), None, "2026-11-20T14:44:59", "2026-11-20T14:30:00"),
        (parse_timeframe("4h"), None, "2026-11-20T14:44:59", "2026-11-20T12:00:00"),
        (from_open("1h"), MUMBAI, "2026-11-20T03:45:00", "2026-11-20T03:45:00"),
        (from_open("1h"), MUMBAI, "2026-11-20T04:44:59", "2026-11-20T03:45:00"),
        (from_open("1h"), FRIDAY, "2026-11-20T14:29:59", "2026-11-20T13:30:00"),
        (from_open("1h"), FRIDAY, "2026-11-20T21:10:00", "2026-11-20T20:30:00"),
        (from_open("4h"), FRIDAY, "2026-11-20T05:10:00", "2026-11-20T05:00:00"),
        (from_open("1h"), THANKSGIVING, "2026-11-26T15:10:00", "2026-11-26T15:00:00"),
    ],
    ids=[
        "from midnight UTC", "4h from midnight UTC", "the open of Mumbai", "its first hour",
        "before the open", "across the close", "no earlier than the trading day",
        "a closed day counts from midnight UTC",
    ],
)  # fmt: skip
def test_a_bar_starts_on_the_grid_of_its_origin(
    timeframe: Timeframe, session: Session | None, instant: str, start: str
) -> None:
    assert timeframe.start_of(at(instant), session) == at(start)


def test_a_bar_of_whole_sessions_has_no_start_without_them() -> None:
    with pytest.raises(ValueError, match="a 1w bar starts when its first session opens"):
        parse_timeframe("1w").start_of(0)


def test_a_week_is_monday_to_sunday_and_starts_with_its_first_open() -> None:
    """Labor Day, 7 September 2026, is a Monday."""
    week = parse_timeframe("1w")
    first, last = week.dates_around(date(2026, 9, 10))
    days = sessions(NEW_YORK, first, last)

    assert (first, last) == (date(2026, 9, 7), date(2026, 9, 13))
    assert week.period_starts(days) == {
        date(2026, 9, day): at("2026-09-08T13:30:00") for day in (8, 9, 10, 11)
    }


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (date(2024, 2, 29), date(2024, 2, 1), date(2024, 2, 29)),
        (date(2026, 12, 31), date(2026, 12, 1), date(2026, 12, 31)),
        (date(2026, 11, 1), date(2026, 11, 1), date(2026, 11, 30)),
    ],
)
def test_a_month_is_a_calendar_month(day: date, first: date, last: date) -> None:
    assert parse_timeframe("1M").dates_around(day) == (first, last)


def test_a_month_starts_with_its_first_open() -> None:
    days = sessions(NEW_YORK, date(2026, 11, 1), date(2026, 11, 30))

    assert set(parse_timeframe("1M").period_starts(days).values()) == {at("2026-11-02T14:30:00")}


def test_the_ordinal_counts_empty_intervals_from_the_beginning_of_the_session() -> None:
    hours = from_open("1h")

    assert hours.ordinal(at("2026-11-20T05:00:00"), FRIDAY) == 0
    assert hours.ordinal(at("2026-11-20T05:30:00"), FRIDAY) == 1
    assert hours.ordinal(at("2026-11-20T14:30:00"), FRIDAY) == 10
    assert parse_timeframe("4h").ordinal(at("2026-11-20T04:00:00"), FRIDAY) == 0
    assert parse_timeframe("15m").ordinal(at("2026-11-20T14:30:00"), FRIDAY) == 38
    assert parse_timeframe("1w").ordinal(at("2026-11-16T14:30:00"), FRIDAY) == 0


def test_a_half_day_has_half_the_starts() -> None:
    days = [THANKSGIVING, BLACK_FRIDAY]
    hours = [*from_open("1h").regular_starts(days, *FOREVER)]

    assert hours == [at(f"2026-11-27T{time}:30:00") for time in ("14", "15", "16", "17")]
    assert len([*parse_timeframe("1m").regular_starts(days, *FOREVER)]) == 210


def test_starts_between_two_bars_leave_both_out() -> None:
    quarters = parse_timeframe("15m")
    after, before = at("2026-11-20T20:30:00"), at("2026-11-23T15:00:00")
    days = sessions(NEW_YORK, date(2026, 11, 20), date(2026, 11, 23))

    assert [*quarters.regular_starts(days, after, before)] == [
        at("2026-11-20T20:45:00"), at("2026-11-23T14:30:00"), at("2026-11-23T14:45:00"),
    ]  # fmt: skip
    assert [*quarters.regular_starts(days, after, after + 1)] == []


def test_a_bar_before_the_open_that_reaches_into_the_session_is_one_of_its_bars() -> None:
    starts = [*parse_timeframe("1h").regular_starts([FRIDAY], *FOREVER)]

    assert (starts[0], len(starts)) == (at("2026-11-20T14:00:00"), 7)


def test_weeks_between_two_bars_are_those_with_a_session() -> None:
    days = sessions(NEW_YORK, date(2026, 11, 2), date(2026, 11, 29))

    assert [*parse_timeframe("1w").regular_starts(days, days[0].open_ns or 0, FOREVER[1])] == [
        at("2026-11-09T14:30:00"), at("2026-11-16T14:30:00"), at("2026-11-23T14:30:00"),
    ]  # fmt: skip
