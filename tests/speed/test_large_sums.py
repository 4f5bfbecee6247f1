"""A minute whose sums would not fit leaves its trades to the batch layer; nothing stops."""

from decimal import Decimal

import pyarrow as pa
import pytest

from support.build import NOON, SECOND
from support.counted import RULES, record, trade_line
from truetape.kernel.columns import RECORDS
from truetape.market.resolution import Resolution
from truetape.speed.counting import Counting
from truetape.speed.state import SpeedState

MOST = "60000000000000000000"


def records(*lines: dict[str, object], offset: int = 0) -> pa.Table:
    rows = [record(line, number) for number, line in enumerate(lines, start=offset)]
    return pa.Table.from_pylist(rows, RECORDS)


def volumes(changed: pa.Table, resolution: Resolution) -> list[tuple[str, Decimal]]:
    return sorted(
        (row["symbol"], row["volume"])
        for row in changed.to_pylist()
        if row["resolution"] == resolution.value
    )


LARGE = trade_line(NOON, price="1", size=MOST, id="1")
MORE = trade_line(NOON + SECOND, price="1", size=MOST, id="2")
OTHER = trade_line(NOON, symbol="KO", id="3")


def test_trades_of_one_batch_whose_minute_does_not_fit_are_left_out() -> None:
    counting, state = Counting(RULES), SpeedState()

    changed = state.add(counting.counted(records(LARGE, MORE, OTHER)))

    assert volumes(changed, Resolution.SECOND) == [("KO", Decimal(5))]
    assert volumes(changed, Resolution.MINUTE) == [("KO", Decimal(5))]
    assert state.closed == 2


@pytest.mark.parametrize("price", ["1", "0.000000000000000001"], ids=["notional", "volume"])
def test_a_later_batch_adds_nothing_to_a_minute_that_would_not_fit(price: str) -> None:
    counting, state = Counting(RULES), SpeedState()
    state.add(counting.counted(records(LARGE | {"price": price})))

    changed = state.add(counting.counted(records(MORE | {"price": price}, OTHER, offset=1)))

    assert volumes(changed, Resolution.MINUTE) == [("KO", Decimal(5))]
    assert state.closed == 1
    after = state.add(counting.counted(records(trade_line(NOON + 60 * SECOND, id="4"), offset=3)))
    assert volumes(after, Resolution.MINUTE) == [("IBM", Decimal(5))]
