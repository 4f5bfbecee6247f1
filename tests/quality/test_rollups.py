"""Roll-ups on columns, held against the reference fold."""

import random
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.build import NOON, SECOND, VENUES
from support.seeded_market import trades_of, troubled
from support.session_lake import Row, bar_rows, trade_rows
from truetape.host.calendars import session
from truetape.market.resolution import Resolution
from truetape.quality import rollups
from truetape.quality.bar_frames import fold_rows, rollup_rows
from truetape.quality.rollups import by_symbols, compare, prints, roll_up, starts_of, stored

FRIDAY = session(VENUES["XNYS"], VENUES["XNYS"].date_of(NOON))


def tables(seed: int) -> tuple[pa.Table, pa.Table]:
    """Return the lake's trades and bars of a crowded market with every trouble."""
    from support.session_lake import BARS, TRADES

    events = [
        event
        for symbol, ids in (("IBM", "number"), ("KO", "text"))
        for event in troubled(trades_of(symbol, seed, 60, ids=ids), seed)
    ]
    rows = trade_rows(events, FRIDAY, "sip")
    trades = pa.Table.from_pylist(rows, schema=TRADES)
    bars = pa.Table.from_pylist(bar_rows(rows, FRIDAY), schema=BARS)
    return (
        trades.sort_by([("symbol", "ascending"), ("ordinal", "ascending")]),
        ordered(bars),
    )


def ordered(bars: pa.Table) -> pa.Table:
    """Return bars in the order in which a session is read."""
    return bars.sort_by([(name, "ascending") for name in ("symbol", "resolution", "start_ns")])


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_the_gate_s_fold_equals_the_reference_fold(seed: int) -> None:
    trades, bars = tables(seed)

    for found in (fold_rows(bars, trades, FRIDAY), rollup_rows(bars)):
        assert [row for row in found.to_pylist() if not row["equal"]] == []
    assert fold_rows(bars, trades, FRIDAY).num_rows + rollup_rows(bars).num_rows == bars.num_rows


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume", "notional",
                                   "priced_volume", "trades", "first", "last"])  # fmt: skip
def test_one_field_of_one_bar_that_differs_is_named(field: str) -> None:
    trades, bars = tables(7)
    rows = bars.to_pylist()
    chosen = random.Random(field).choice([row for row in rows if row["resolution"] == "1s"])
    chosen[field] = (chosen[field] or 0) + 1

    found = fold_rows(pa.Table.from_pylist(rows, schema=bars.schema), trades, FRIDAY)

    (wrong,) = [row for row in found.to_pylist() if not row["equal"]]
    assert (wrong["symbol"], wrong["start_ns"]) == (chosen["symbol"], chosen["start_ns"])
    assert wrong["differs"] == field


def test_a_bar_on_one_side_only_is_reported() -> None:
    trades, bars = tables(7)
    rows = [row for row in bars.to_pylist() if row["resolution"] == "1s"]
    gone, moved = rows[0], rows[1]
    place = (moved["symbol"], moved["start_ns"] + 3_600 * SECOND)
    moved["start_ns"] = place[1]

    moved_bars = ordered(pa.Table.from_pylist(rows[1:], schema=bars.schema))
    found = fold_rows(moved_bars, trades, FRIDAY)

    told = {
        (row["symbol"], row["start_ns"]): row["differs"]
        for row in found.to_pylist()
        if row["resolution"] == "1s" and not row["equal"]
    }
    assert told[gone["symbol"], gone["start_ns"]] == "not stored"
    assert told[place] == "only stored"
    assert sorted(told.values()) == ["not stored", "not stored", "only stored"]


def test_sums_of_many_digits_stay_exact() -> None:
    """A double would lose the last digits of both."""
    row: Row = {
        "symbol": "X", "ordinal": 1, "event_ns": NOON, "price": Decimal("123456789.123456789"),
        "size": Decimal("9876543210.12345678"), "duplicate": False, "cancelled": False,
        "open_close": True, "high_low": True, "counts": True, "in_day": True,
    }  # fmt: skip
    from support.session_lake import TRADES

    schema = pa.schema([TRADES.field(name) for name in row])
    single = prints(pa.Table.from_pylist([row, row | {"ordinal": 2}], schema=schema))

    (found,) = roll_up(single, starts_of(single["start_ns"], Resolution.SECOND)).to_pylist()

    assert found["volume"] == Decimal("19753086420.24691356")
    # 2 x 123456789.123456789 x 9876543210.12345678, by bc
    assert found["notional"] == Decimal("2438652624721841157.56134737527815884")
    assert (found["first"], found["last"], found["trades"]) == (1, 2, 2)


def test_symbols_are_folded_in_groups_and_never_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollups, "MAX_ROWS", 4)
    rows = pa.table({"symbol": ["A"] * 3 + ["B"] + ["C"] * 9 + [None]})

    assert [some["symbol"].to_pylist() for (some,) in by_symbols(rows)] == [
        ["A", "A", "A", "B"],
        ["C"] * 9,
    ]


def test_a_session_without_bars_has_nothing_to_compare() -> None:
    _, bars = tables(7)

    assert rollup_rows(bars.slice(0, 0)).num_rows == 0


def test_bars_without_a_symbol_or_start_are_skipped() -> None:
    _, bars = tables(7)
    rows = bars.to_pylist()
    rows[0]["symbol"] = None
    rows[1]["start_ns"] = None
    broken = pa.Table.from_pylist(rows, schema=bars.schema)

    found = compare(stored(broken, Resolution.SECOND), stored(bars, Resolution.SECOND),
                    Resolution.SECOND)  # fmt: skip

    assert found["symbol"].null_count == found["start_ns"].null_count == 0
