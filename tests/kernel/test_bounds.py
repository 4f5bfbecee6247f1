"""Sums that do not fit are found before they are summed: nothing wraps."""

from collections.abc import Sequence
from decimal import Context, Decimal
from functools import reduce

import pyarrow as pa
import pytest

from kernel.test_fold_agrees import SESSION
from support.build import NOON, SECOND, VENUES, trade
from support.kernel_rows import deliveries_of
from truetape.batch.bar_requests import BarRequest, fold_by_kernel, fold_by_reference
from truetape.host.errors import ConfigError
from truetape.host.profiles import load
from truetape.kernel import bounds, fold
from truetape.kernel.columns import NUMBER
from truetape.kernel.judge import judge
from truetape.kernel.quotient import half_even_quotients
from truetape.kernel.settle import settle
from truetape.market.bars import half_even_quotient
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.timeframe import timeframe_of
from truetape.market.trades import Trade

MOST = "60000000000000000000"


def judged(trades: Sequence[Trade]) -> pa.Table:
    return judge(settle(deliveries_of(trades), VENUES), load("all"))


def large(seconds: Sequence[int], **fields: object) -> list[Trade]:
    return [
        trade("1", MOST, event_ns=NOON + second * SECOND, offset=offset, **fields)
        for offset, second in enumerate(seconds)
    ]


def test_the_windows_whose_sums_fit_have_bars() -> None:
    """Two windows of one second fit, and the minute around them does not."""
    trades = judged(large([0, 1]))
    sessions = {"XNYS": [SESSION]}

    bars = fold.bars(trades, Resolution.SECOND, sessions)

    assert bars["volume"].to_pylist() == [Decimal(MOST)] * 2
    for resolution in (Resolution.MINUTE, Resolution.DAY):
        with pytest.raises(ConfigError, match=r"XNYS IBM: .* 2026-11-20T17:00:00Z .*RUNBOOK"):
            fold.bars(trades, resolution, sessions)


def test_a_session_whose_sums_do_not_fit_has_no_bars() -> None:
    with pytest.raises(ConfigError, match="XNYS IBM"):
        fold.session_bars(judged(large([0, 3_600])), SESSION)


def test_repeats_and_other_symbols_do_not_count() -> None:
    again = trade("1", MOST, id="7", offset=2), trade("1", MOST, id="7", offset=3)

    for trades in (again, large([0]) + large([0], symbol="KO")):
        assert fold.bars(judged(trades), Resolution.MINUTE, {})["volume"].to_pylist() == [
            Decimal(MOST)
        ] * len({each.symbol for each in trades})


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        (["99999999999999999999.999999999999999999"], True),
        (["99999999999999999999", "0.999999999999999999"], True),
        (["99999999999999999999", "1"], False),
    ],
    ids=["one trade", "just below", "at the bound"],
)
def test_the_exact_sum_decides_for_kernel_and_reference(sizes: list[str], fits: bool) -> None:
    trades = [trade("0.5", size, offset=place) for place, size in enumerate(sizes)]
    request = BarRequest(timeframe_of(Resolution.MINUTE))
    folds = [
        lambda: fold_by_kernel(judged(trades), request),
        lambda: fold_by_reference(canonical(trades, VENUES).trades, load("all"), request),
    ]

    total = reduce(Context(prec=60).add, map(Decimal, sizes))
    if fits:
        assert [[bar.volume for bar in fold()] for fold in folds] == [[total]] * 2
        return
    for fold_trades in folds:
        with pytest.raises(ConfigError, match=r"XNYS IBM: the volume .* more than 20 digits"):
            fold_trades()


@pytest.mark.parametrize(
    ("prices", "fits"),
    [(["49000000000000000000"] * 2, True), (["50000000000000000000"] * 2, False)],
    ids=["below", "at the bound"],
)
def test_the_bound_is_one_for_volume_and_for_notional(prices: list[str], fits: bool) -> None:
    by_price = [trade(price, "1", offset=place) for place, price in enumerate(prices)]
    by_size = [trade("0.5", size, offset=place) for place, size in enumerate(prices)]

    assert [bounds.fit(judged(trades)) for trades in (by_price, by_size)] == [fits] * 2


def test_wide_volumes_divide_as_the_reference_does() -> None:
    tops = ["99999999999999999999.999999999999999999", "1", "123456789012345678.5", "0"]
    bottoms = ["99999999999999999998.999999999999999999", "1000000000000000000", "7", "0"]
    numerators, denominators = (
        pa.chunked_array([pa.array(map(Decimal, texts), NUMBER)]) for texts in (tops, bottoms)
    )

    quotients = half_even_quotients(numerators, denominators, 18).to_pylist()

    assert quotients == [
        half_even_quotient(Decimal(top), Decimal(bottom), 18) if Decimal(bottom) else None
        for top, bottom in zip(tops, bottoms, strict=True)
    ]
