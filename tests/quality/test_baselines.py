"""What is usual for a symbol, from the sessions before."""

import math

import pytest

from truetape.quality.baselines import (
    SIGMA_FLOOR,
    SymbolFacts,
    gap_in_sigmas,
    usual_missing_share,
    usual_trades,
)


def days(*closes: float | None) -> list[SymbolFacts]:
    """Return sessions with these closes, 100 trades each and a tenth of the minutes missing."""
    return [SymbolFacts(100, 0.1, close) for close in closes]


def test_nothing_is_usual_before_the_fifth_session() -> None:
    assert usual_trades(days(1, 1, 1, 1)) is None
    assert usual_trades(days(1, 1, 1, 1, 1)) == 100
    assert usual_missing_share(days(1, 1, 1, 1, 1)) == 0.1


def test_a_gap_is_measured_in_sigmas_of_earlier_daily_moves() -> None:
    """Closes move by +10 %, -10 %, … in logarithms: the deviation is 0.1095, a gap of 0.5 is 4.56.

    By hand: five moves of +-0.1 have the mean 0.02 and the variance (3 x 0.08^2 + 2 x 0.12^2) / 4.
    """
    up = math.exp(0.1)
    closes = days(100, 100 * up, 100, 100 * up, 100, 100 * up)

    found = gap_in_sigmas(closes, 100 * up * math.exp(0.5))

    assert found == pytest.approx(0.5 / math.sqrt((3 * 0.08**2 + 2 * 0.12**2) / 4))


def test_after_a_quiet_week_a_cent_is_no_jump() -> None:
    found = gap_in_sigmas(days(100, 100, 100, 100, 100, 100), 100.01)

    assert found == pytest.approx(math.log(1.0001) / SIGMA_FLOOR)


def test_sessions_without_a_close_are_left_out() -> None:
    assert gap_in_sigmas(days(100, None, 100, 100, 100, 100), 200) is None
    assert gap_in_sigmas(days(100, None, 100, 100, 100, 100, 100), 200) is not None


def test_a_price_of_zero_has_no_gap() -> None:
    assert gap_in_sigmas(days(100, 100, 100, 100, 100, 100), 0.0) is None
