"""Which session a run is for."""

from datetime import UTC, datetime

import pytest

from truetape.errors import ConfigError
from truetape.schedule.session_tasks import session_date


def utc(text: str) -> datetime:
    """An instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MONDAY_NOON = utc("2026-11-30T12:00:00")


@pytest.mark.parametrize(
    ("venue", "asked", "start", "day"),
    [
        ("XNYS", "2026-11-25", utc("2026-11-27T14:30:00"), "2026-11-25"),
        ("XNYS", None, utc("2026-11-27T14:30:00"), "2026-11-27"),
        ("XNYS", "", utc("2026-11-27T14:30:00"), "2026-11-27"),
        ("XNYS", None, None, "2026-11-27"),
        ("KRAKEN", None, utc("2026-11-28T00:00:00"), "2026-11-28"),
        ("KRAKEN", None, None, "2026-11-29"),
    ],
    ids=[
        "the form comes first",
        "then the data interval",
        "an empty field is none",
        "else the last that closed",
        "a UTC day",
        "the last UTC day",
    ],
)
def test_a_run_is_for_one_session(
    venue: str, asked: str | None, start: datetime | None, day: str
) -> None:
    assert session_date(venue, asked, start, MONDAY_NOON) == day


@pytest.mark.parametrize("day", ["2026-11-26", "2026-11-28"], ids=["thanksgiving", "a saturday"])
def test_a_closed_day_cannot_be_asked_for(day: str) -> None:
    with pytest.raises(ConfigError, match=f"XNYS has no regular session on {day}"):
        session_date("XNYS", day, None, MONDAY_NOON)
