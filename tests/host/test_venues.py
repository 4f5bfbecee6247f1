"""Venues: the declared file, and the errors of an invalid one."""

from datetime import timedelta
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.venues import venue_named, venues, venues_in
from truetape.market.sessions import Venue


def test_the_declared_venues_are_read() -> None:
    four_hours = timedelta(hours=4)
    assert venues()["XNYS"] == Venue(
        "XNYS",
        "New York Stock Exchange",
        "America/New_York",
        "XNYS",
        four_hours,
        us_equities=True,
    )
    assert venues()["KRAKEN"] == Venue("KRAKEN", "Kraken", "UTC", None)
    assert venues()["XCME"] == Venue(
        "XCME",
        "CME Globex",
        "America/Chicago",
        "CMES",
        timedelta(hours=1),
        begins_min=-7 * 60,
        closes_min=16 * 60,
    )
    assert venues()["FX"] == Venue(
        "FX",
        "Foreign exchange",
        "America/New_York",
        None,
        begins_min=-7 * 60,
        weekdays=(0, 1, 2, 3, 4),
        closed=("01-01", "12-25"),
    )
    assert venues()["XASX"].auction_min == (10, 12)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("version: 1\nvenues:\n  A1: {name: a}\n", 3, "venues.A1 lacks 'zone'"),
        ("version: 1\nvenues:\n  A1:\n    name: a\n    zone: Mars/X\n", 5, "A1.zone is 'Mars/X'"),
        ("version: 1\nvenues:\n  A1: {name: a, zone: UTC, tz: x}\n", 3, "A1.tz is not known"),
        ("version: 1\nvenues:\n  a=b: {name: a, zone: UTC}\n", 3, "venues.a=b is no venue code"),
        (
            "version: 1\nvenues:\n  A1: {name: a, zone: UTC}\n  A1: {name: b, zone: UTC}\n",
            4,
            "venues.A1 is there twice, first in line 3",
        ),
        ("version: 1\nvenues:\n  A1: {name: a, zone: Asia/Tokyo}\n", 3, "by the UTC day"),
        (
            "version: 1\nvenues:\n  A1: {name: a, zone: UTC, after_hours_min: 60}\n",
            3,
            "A1.after_hours_min has no meaning",
        ),
        ("version: one\nvenues: {}\n", 1, "version is 'one'; write a whole number"),
        ("version: 1\nvenues: []\n", 2, "venues must be a mapping"),
        ("version: 1\nvenues: {\n", 3, "not YAML"),
    ],
    ids=[
        "no zone",
        "bad zone",
        "unknown key",
        "bad code",
        "twice",
        "local",
        "after hours",
        "version",
        "list",
        "yaml",
    ],
)
def test_an_error_names_file_line_and_field(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    path = tmp_path / "venues.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError) as raised:
        venues_in(path)

    assert str(raised.value).startswith(f"{path}, line {line}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("zone: America/Chicago, calendar: CMES, begins: 17h", "begins is '17h'; write 17:00, or"),
        ('zone: America/Chicago, calendar: CMES, begins: "-2 17:00"', "begins is '-2 17:00'"),
        ("zone: UTC, begins: 24:00", "begins is '24:00'"),
        ('zone: America/Chicago, calendar: CMES, begins: "-1 16:30"', "no whole hour of UTC"),
        ('zone: Asia/Kolkata, begins: "00:00"', "begins is no whole hour of UTC"),
        ("zone: UTC, closes: 17:00", "closes has no meaning where trading never stops"),
        ("zone: UTC, closing_auction_min: [0, 1]", "closing_auction_min has no meaning"),
        ("zone: UTC, calendar: XTKS, closing_auction_min: [0, 1]", "within after_hours_min"),
        (
            "zone: UTC, calendar: XTKS, after_hours_min: 9, closing_auction_min: [2, 2]",
            "closing_auction_min is 2 to 2; give two minutes",
        ),
        ("zone: UTC, calendar: XTKS, weekdays: [Mon]", "weekdays has no meaning beside a calendar"),
        ("zone: UTC, calendar: XTKS, closed: [12-25]", "closed has no meaning beside a calendar"),
        ("zone: UTC, weekdays: []", "weekdays is empty"),
        ("zone: UTC, weekdays: [Monday]", "weekdays.0 is 'Monday'; write one of Mon, Tue"),
        ("zone: UTC, closed: [25-12]", "closed.0 is '25-12'; write month and day, like 12-25"),
        ("zone: UTC, us_equities: yes", "us_equities is 'yes'; write true or false"),
    ],
)
def test_a_session_is_declared_in_one_way(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "venues.yaml"
    path.write_text(f"version: 1\nvenues:\n  A1: {{name: a, {entry}}}\n")

    with pytest.raises(ConfigError) as raised:
        venues_in(path)

    assert f"{path}, line 3: venues.A1." in str(raised.value)
    assert message in str(raised.value)


def test_a_venue_without_a_calendar_may_have_the_days_of_its_own_clock(tmp_path: Path) -> None:
    path = tmp_path / "venues.yaml"
    path.write_text('version: 1\nvenues:\n  A1: {name: a, zone: Asia/Seoul, begins: "00:00"}\n')

    assert venues_in(path)["A1"] == Venue("A1", "a", "Asia/Seoul", None)


def test_an_absent_or_empty_file_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")

    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        venues_in(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match=r"empty\.yaml: is empty"):
        venues_in(tmp_path / "empty.yaml")


@pytest.mark.parametrize(
    ("code", "example"), [("XTSE", "XTSE: {name: "), ("no code", "ACME: {name: ")]
)
def test_the_error_about_an_unknown_venue_says_what_to_add_and_where(
    code: str, example: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        venue_named(code)

    assert "venues.yaml in a folder named by TRUETAPE_SCHEMAS" in str(caught.value)
    assert example in str(caught.value)
