"""Recomputed bars as they are served: each number the nearest double of the exact one."""

from datetime import date
from decimal import Context, Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from support.build import VENUES
from truetape.host.calendars import session
from truetape.lake.bars import RecomputedSession
from truetape.lake.schemas import BARS
from truetape.market.resolution import Resolution
from truetape.serving.store import BAR_NUMBERS

DAY = session(VENUES["XNYS"], date(2026, 11, 20))
WIDE = Context(prec=60)
WIDTHS = {name: BARS.field(name).type for name in BAR_NUMBERS}


def numbers(name: str) -> st.SearchStrategy[Decimal]:
    kind = WIDTHS[name]
    return st.integers(0, 10**kind.precision - 1).map(
        lambda one: WIDE.scaleb(Decimal(one), -kind.scale)
    )


@given(st.lists(st.fixed_dictionaries({name: numbers(name) for name in BAR_NUMBERS}), max_size=8))
def test_each_number_is_the_nearest_double(drawn: list[dict[str, Decimal]]) -> None:
    rows = [
        one
        | {
            "symbol": "IBM", "venue": "XNYS", "session": DAY.date, "resolution": "1m",
            "start_ns": number, "trades": 1, "seq": number, "served": True,
        }
        for number, one in enumerate(drawn)
    ]  # fmt: skip
    bars = RecomputedSession(DAY, pa.Table.from_pylist(rows, BARS), 0)

    found = list(bars.bars(Resolution.MINUTE))

    assert [bar.numbers for bar in found] == [
        tuple(float(one[name]) for name in BAR_NUMBERS) for one in drawn
    ]
    assert all(
        (bar.layer, bar.final, bar.void, bar.rev) == ("batch", False, False, 0) for bar in found
    )


def test_a_missing_vwap_is_zero() -> None:
    row = {
        "symbol": "IBM", "venue": "XNYS", "resolution": "1m", "start_ns": 0, "trades": 1, "seq": 0,
        "served": True, "vwap": None, **dict.fromkeys(("open", "high", "low", "close"), Decimal(1)),
        "volume": Decimal(0),
    }  # fmt: skip
    bars = RecomputedSession(DAY, pa.Table.from_pylist([row], BARS), 0)

    assert [bar.vwap for bar in bars.bars(Resolution.MINUTE)] == [0.0]
