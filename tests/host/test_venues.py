"""Venues: the declared file, and the errors of an invalid one."""

from datetime import timedelta
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.venues import venues, venues_in
from truetape.market.sessions import Venue


def test_the_declared_venues_are_read() -> None:
    four_hours = timedelta(hours=4)
    assert venues()["XNYS"] == Venue(
        "XNYS", "New York Stock Exchange", "America/New_York", "XNYS", four_hours
    )
    assert venues()["KRAKEN"] == Venue("KRAKEN", "Kraken", "UTC", None)


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


def test_an_absent_or_empty_file_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")

    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        venues_in(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match=r"empty\.yaml: is empty"):
        venues_in(tmp_path / "empty.yaml")
