"""Timeframes at the border: what is refused, and which sessions bars need."""

from datetime import date

import pytest

from support.build import at
from truetape.host.errors import ConfigError
from truetape.host.timeframes import (
    period_of,
    require_amount,
    require_fill,
    require_timeframe,
    session_at,
    sessions_for,
    starts_between,
)
from truetape.market.timeframe import Origin

FRIDAY = date(2026, 11, 20)


@pytest.mark.parametrize("value", [None, 5, "7m", "", b"1m", ["1m"]], ids=repr)
def test_what_is_no_width_is_a_config_error(value: object) -> None:
    with pytest.raises(ConfigError):
        require_timeframe(value)


def test_what_is_no_origin_fill_or_amount_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no origin 'close'; there are utc, open"):
        require_timeframe("1m", "close")
    with pytest.raises(ConfigError, match="no fill None; there are none, previous"):
        require_fill(None)
    with pytest.raises(ConfigError, match="5 is no amount"):
        require_amount(5)
    assert require_timeframe("1m", "open").origin is Origin.OPEN


def test_the_sessions_of_a_month_are_whole_whatever_days_have_trades() -> None:
    needed = sessions_for(require_timeframe("1M"), [("XNYS", FRIDAY), ("XNSE", FRIDAY)])

    assert {code: len(days) for code, days in needed.items()} == {"XNYS": 30, "XNSE": 30}
    assert [day.date for day in sessions_for(require_timeframe("1h"), [("XNYS", FRIDAY)])["XNYS"]] \
        == [FRIDAY]  # fmt: skip


def test_a_week_at_the_end_of_64_bits_has_the_dates_that_there_are() -> None:
    needed = sessions_for(require_timeframe("1w"), [("KRAKEN", date(2261, 12, 31))])

    assert [str(day.date) for day in needed["KRAKEN"]] == ["2261-12-30", "2261-12-31"]


def test_a_period_has_its_regular_sessions() -> None:
    week = period_of(require_timeframe("1w"), "XNYS", date(2026, 11, 26))

    assert [day.date.day for day in week] == [23, 24, 25, 27]


def test_starts_go_on_to_the_close_but_not_beyond_what_is_known() -> None:
    hour, bar = require_timeframe("1h"), at("2026-11-20T18:00:00")

    assert [*starts_between(hour, "XNYS", bar, None)] == [
        at("2026-11-20T19:00:00"), at("2026-11-20T20:00:00"),
    ]  # fmt: skip
    known = at("2026-11-20T20:59:59")
    assert [*starts_between(hour, "XNYS", bar, None, known_until_ns=known)] == [
        at("2026-11-20T19:00:00")
    ]
    assert [*starts_between(hour, "XNYS", bar, bar + 3_600_000_000_000)] == []


def test_an_undeclared_venue_is_named() -> None:
    with pytest.raises(ConfigError, match="no venue 'MOON'"):
        session_at("MOON", 0)
