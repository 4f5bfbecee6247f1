"""Resolutions: where an intraday bar starts."""

import pytest

from support.build import at
from truetape.market.resolution import INTRADAY, Resolution


@pytest.mark.parametrize(
    ("resolution", "start"),
    [
        (Resolution.SECOND, "2026-11-20T14:37:59"),
        (Resolution.MINUTE, "2026-11-20T14:37:00"),
        (Resolution.FIVE_MINUTES, "2026-11-20T14:35:00"),
        (Resolution.HOUR, "2026-11-20T14:00:00"),
    ],
    ids=str,
)
def test_a_bar_is_labelled_by_its_start(resolution: Resolution, start: str) -> None:
    last_nanosecond = at("2026-11-20T14:38:00") - 1

    assert resolution.start_of(last_nanosecond) == at(start)
    assert resolution.start_of(at(start)) == at(start)


def test_before_1970_a_bar_still_starts_before_its_trades() -> None:
    assert Resolution.MINUTE.start_of(-1) == -60_000_000_000


def test_a_daily_bar_has_no_start_without_its_session() -> None:
    with pytest.raises(ValueError, match="ask the session"):
        Resolution.DAY.start_of(0)
    assert Resolution.DAY not in INTRADAY
