"""The kernel's bars by amount equal those of the reference."""

import random
from datetime import date
from decimal import Context, Decimal
from itertools import accumulate

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from kernel.test_fold_agrees import CODES, PROFILES
from support.build import NOON, SECOND, VENUES, trade
from support.kernel_rows import deliveries_of
from support.machines import examples
from support.market import events, markets, second_deliveries
from truetape.host.profiles import load
from truetape.kernel.amount_bars import amount_bars
from truetape.kernel.judge import judge
from truetape.kernel.settle import settle
from truetape.market import amount_bars as reference
from truetape.market.amount_bars import AmountBar, parse_amount
from truetape.market.canonical import canonical
from truetape.market.eligibility import Profile
from truetape.market.trades import Event, Trade

AMOUNTS = st.sampled_from(
    ["trades=1", "trades=2", "trades=5", "volume=1", "volume=2500", "volume=0.00000000001",
     "notional=100", "notional=250000.5", "notional=0.000000000000000001"]
).map(parse_amount)  # fmt: skip


def by_kernel(arrivals: list[Event], profile: Profile, amount: reference.Amount) -> list[AmountBar]:
    judged = judge(settle(deliveries_of(arrivals), VENUES), profile)
    return [AmountBar(**row) for row in amount_bars(judged, amount).to_pylist()]


@examples(40)
@given(markets(events(CODES), most=4), PROFILES, AMOUNTS, st.integers(0, 99))
def test_bars_equal_the_reference_whatever_comes_twice_and_in_whatever_order(
    drawn: dict[str, list[Event]], profile: Profile, amount: reference.Amount, order: int
) -> None:
    happened = [event for market in drawn.values() for event in market]
    arrivals = [*happened, *second_deliveries(happened)]
    random.Random(order).shuffle(arrivals)

    settled = canonical(happened, VENUES).trades
    assert by_kernel(arrivals, profile, amount) == reference.amount_bars(
        settled, profile, amount, VENUES
    )


def test_large_and_small_amounts_are_compared_exactly() -> None:
    """Sums of 38 digits that differ in their last one; bytes of zeros inside and at the end."""
    sizes = ["18446744073.709551616", "0.000000000000000001", "79228162514.264337593543950336"]
    trades: list[Event] = [
        trade("1", size, event_ns=NOON + number * SECOND, offset=number)
        for number, size in enumerate(sizes * 3)
    ]
    exact, step = Context(prec=60), Decimal("1E-18")
    sums = [*accumulate(map(Decimal, sizes * 2), exact.add)]
    for least in (*sums, *(exact.add(total, step) for total in sums)):
        amount = parse_amount(f"volume={least:f}")
        settled = canonical(trades, VENUES).trades
        expected = reference.amount_bars(settled, load("all"), amount, VENUES)

        assert by_kernel(trades, load("all"), amount) == expected


def test_sessions_of_several_days_each_begin_anew() -> None:
    rng = random.Random(7)
    trades: list[Event] = [
        trade(
            str(100 + rng.randrange(5)), str(rng.randrange(1, 50)), symbol=rng.choice("AB"),
            event_ns=NOON + rng.randrange(5) * 86_400 * SECOND + rng.randrange(20_000) * SECOND,
            offset=number,
        )
        for number in range(2_000)
    ]  # fmt: skip
    amount = parse_amount("volume=300")
    settled = canonical(trades, VENUES).trades

    bars = by_kernel(trades, load("all"), amount)

    assert bars == reference.amount_bars(settled, load("all"), amount, VENUES)
    assert {bar.session for bar in bars} == {date(2026, 11, 20 + day) for day in range(5)}
    assert sum(bar.volume for bar in bars) == sum(
        item.size for item in trades if isinstance(item, Trade)
    )


def test_no_trades_have_no_bars() -> None:
    judged = judge(settle(deliveries_of([]), VENUES), load("all"))

    assert amount_bars(judged, parse_amount("trades=1")).num_rows == 0
    assert pa.types.is_date32(amount_bars(judged, parse_amount("trades=1"))["session"].type)
