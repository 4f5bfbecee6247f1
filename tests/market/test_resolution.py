"""Resolutions: where an intraday bar starts."""

import numpy as np
import pytest

from support.build import at
from truetape.market.resolution import INTRADAY, ROLLED_UP, ROLLUP_SOURCE, STREAMED, Resolution


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


def test_an_array_of_instants_gets_the_starts_of_its_bars() -> None:
    instants = np.array([-1, 0, 59_999_999_999, 60_000_000_000])

    starts = Resolution.MINUTE.start_of(instants)

    assert starts.tolist() == [-60_000_000_000, 0, 0, 60_000_000_000]


def test_each_intraday_resolution_is_either_streamed_or_rolled_up_from_a_streamed_one() -> None:
    assert (*STREAMED, *ROLLED_UP) == INTRADAY
    assert ROLLUP_SOURCE in STREAMED
    assert all(resolution.width_ns % ROLLUP_SOURCE.width_ns == 0 for resolution in ROLLED_UP)


def test_a_daily_bar_has_no_start_without_its_session() -> None:
    with pytest.raises(ValueError, match="use the session's open_ns"):
        Resolution.DAY.start_of(0)
    assert Resolution.DAY not in INTRADAY
