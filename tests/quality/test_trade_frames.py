"""What the frames of trades say, by hand."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from support.build import SECOND, VENUES, cancel, correction
from support.session_lake import CLOSE, FRIDAY, NOON, OPEN, TRADES, Row
from truetape.host.calendars import session
from truetape.host.venues import venues
from truetape.lake.events import ArchivedAmendment
from truetape.market.amendments import TradeName
from truetape.market.ranges import Range
from truetape.market.sessions import Session
from truetape.quality.amendment_frame import WAIT_NS, amendment_rows
from truetape.quality.baselines import LEAST_SESSIONS, SymbolFacts
from truetape.quality.session_tables import Coverage, SessionTables
from truetape.quality.trade_frames import (
    deviations,
    feed_rows,
    off_hours,
    partition_rows,
    series_rows,
    symbol_rows,
    trade_frames,
    trade_rows,
    volume_shares,
)

XNYS, KRAKEN = VENUES["XNYS"], VENUES["KRAKEN"]
LONG_AFTER = FRIDAY.end_ns + WAIT_NS


def row(number: int = 0, **values: object) -> Row:
    """Build a trade of the lake from harmless defaults."""
    boring: Row = {
        "venue": "XNYS", "session": FRIDAY.date, "symbol": "IBM", "ordinal": number + 1,
        "feed": "truetape", "id": str(number), "sequence": None, "event_ns": NOON + number,
        "received_ns": NOON + number, "price": Decimal(100), "size": Decimal(100),
        "conditions": [], "tape": None, "exchange": None, "topic": "trades", "partition": 0,
        "offset": number, "index": 0, "duplicate": False, "cancelled": False, "corrected": False,
        "late": False, "in_day": True, "open_close": True, "high_low": True, "counts": True,
        "auction": False, "known": True,
    }  # fmt: skip
    return boring | values


def table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as the lake's table of trades."""
    return pa.Table.from_pylist(list(rows), schema=TRADES)


@pytest.mark.parametrize(
    ("event_ns", "seconds"),
    [
        pytest.param(OPEN - 19_800 * SECOND, -19_800, id="four in the morning"),
        pytest.param(OPEN - SECOND, -1, id="a second before the open"),
        pytest.param(OPEN, 0, id="the open"),
        pytest.param(CLOSE - 1, 0, id="the last nanosecond"),
        pytest.param(CLOSE + 14_400 * SECOND, 14_400, id="eight in the evening"),
    ],
)
def test_off_hours_are_counted_from_the_calendar(event_ns: int, seconds: int) -> None:
    assert off_hours(pa.chunked_array([[event_ns]]), FRIDAY).to_pylist() == [seconds]


@pytest.mark.parametrize(
    ("day", "seconds"),
    [
        pytest.param(session(XNYS, FRIDAY.date.replace(day=29)), 10_800, id="closes at one"),
        pytest.param(session(XNYS, FRIDAY.date.replace(day=28)), 86_400, id="Thanksgiving"),
        pytest.param(session(KRAKEN, FRIDAY.date.replace(day=29)), 0, id="never closes"),
    ],
)
def test_off_hours_at_nine_in_the_evening_utc_depend_on_the_calendar(
    day: Session, seconds: int
) -> None:
    """21:00 UTC, four in the afternoon of New York."""
    evening = pa.chunked_array([[day.start_ns // (86_400 * SECOND) * 86_400 * SECOND
                                 + 21 * 3_600 * SECOND]])  # fmt: skip

    assert off_hours(evening, day).to_pylist() == [seconds]


def test_one_outlier_price_deviates_and_its_neighbours_do_not() -> None:
    """The price swings by 0.02 around 100, so a deviation is the floor of 0.1 %: 0.1."""
    rows = [row(number, price=Decimal(f"100.0{number % 3}")) for number in range(150)]
    rows[120]["price"] = Decimal("103.01")

    found = deviations(table(rows)).to_pylist()

    assert found[:100] == [None] * 100
    assert found[120] == pytest.approx((103.01 - 100.01) / 0.10001)
    assert max(value for value in found[100:120] + found[121:]) < 1


def test_other_symbols_and_ineffective_trades_do_not_affect_deviations() -> None:
    other = [row(number, symbol="AAA", price=Decimal(500)) for number in range(120)]
    rows = [row(number) for number in range(110)]
    rows[105] |= {"price": Decimal(900), "cancelled": True}
    rows[106] |= {"price": Decimal(900), "high_low": False}

    found = deviations(table(other + rows)).to_pylist()

    assert found[120:220] == [None] * 100
    assert found[225] is None
    assert found[226] is None
    assert [value for value in found[220:] if value] == []


def test_volume_shares_exclude_auctions_and_quiet_symbols() -> None:
    rows = [row(number) for number in range(1_000)]
    rows[5]["size"] = Decimal(100_000)
    rows[6] |= {"size": Decimal(100_000), "auction": True}
    quiet = [row(number, symbol="KO", size=Decimal(7)) for number in range(999)]

    found = volume_shares(table(rows + quiet), FRIDAY).to_pylist()

    total = 998 * 100 + 200_000
    assert found[5] == pytest.approx(100_000 / total)
    assert found[6] is None
    assert found[7] == pytest.approx(100 / total)
    assert found[1_000:] == [None] * 999


def test_volume_shares_exclude_the_closing_auction_of_a_venue() -> None:
    rows = [row(number) for number in range(1_000)]
    rows[5] |= {"size": Decimal(100_000), "event_ns": CLOSE + SECOND - 1}
    rows[6] |= {"size": Decimal(100_000), "event_ns": CLOSE + SECOND}
    session = replace(FRIDAY, auction_ns=(CLOSE, CLOSE + SECOND))

    found = volume_shares(table(rows), session).to_pylist()

    assert found[5] is None
    assert found[6] == pytest.approx(100_000 / (998 * 100 + 200_000))


@pytest.mark.parametrize(("code", "on_grid"), [("XNYS", True), ("XCME", False), ("XASX", False)])
def test_only_us_venues_have_the_tick_grid_and_the_lots_of_the_us_tapes(
    code: str, on_grid: bool
) -> None:
    trades = table([row(price=Decimal("110.015625"), size=Decimal(1))])

    rows = trade_rows(trades, FRIDAY, venues()[code]).to_pylist()
    shares = feed_rows(trades, venues()[code])["odd_lot_share"].to_pylist()

    assert [each["on_grid"] for each in rows] == [on_grid]
    assert shares == [1.0 if on_grid else None]


def test_a_feed_s_shares_and_lateness_are_measured() -> None:
    rows = [row(number, received_ns=NOON + number + SECOND) for number in range(8)]
    rows[3]["duplicate"] = True
    rows[4]["received_ns"] = NOON + 4 + 61 * SECOND
    rows[5]["event_ns"] = NOON
    rows[6] |= {"size": Decimal(99), "exchange": "D"}

    (found,) = feed_rows(table(rows), XNYS).to_pylist()

    assert (found["feed"], found["trades"], found["duplicate_share"]) == ("truetape", 8, 1 / 8)
    assert found["backward_share"] == 1 / 8
    assert found["late_p50_s"] == pytest.approx(1, abs=1e-6)
    assert found["late_max_s"] == pytest.approx(61, abs=1e-6)
    assert (found["odd_lot_share"], found["off_exchange_share"]) == (1 / 7, 1 / 7)


def test_a_venue_without_a_calendar_has_no_odd_lots() -> None:
    (found,) = feed_rows(table([row(size=Decimal("0.5"))]), KRAKEN).to_pylist()

    assert found["odd_lot_share"] is None


def test_backward_trades_are_counted_within_each_partition() -> None:
    """Two partitions, each in order: their offsets interleave and nothing goes backward."""
    rows = [row(n, partition=n % 2, offset=n // 2, event_ns=NOON + (n % 2) * 50) for n in range(6)]

    (found,) = feed_rows(table(rows), XNYS).to_pylist()

    assert found["backward_share"] == 0


def test_missing_ids_are_counted_where_a_feed_numbers_its_trades() -> None:
    rows = [row(n, feed="binance", id=str(10 + 2 * n)) for n in range(3)]
    rows += [row(n, feed="coinbase", id=str(10 + 2 * n)) for n in range(3)]

    assert series_rows(table(rows)).to_pylist() == [
        {"feed": "binance", "symbol": "IBM", "ids": 3, "missing": 2}
    ]


@pytest.mark.parametrize(
    ("price", "exchange", "on_grid", "rest"),
    [
        pytest.param("100.01", "N", True, 0, id="a cent"),
        pytest.param("100.001", "N", True, 1_000_000, id="a tenth of a cent"),
        pytest.param("0.9999", "N", True, 0, id="below a dollar"),
        pytest.param("0.99995", "N", True, 50_000, id="a twentieth of a cent below a dollar"),
        pytest.param("100.001", "D", False, 1_000_000, id="off exchange"),
    ],
)
def test_prices_are_checked_against_the_tick_grid(
    price: str, exchange: str, on_grid: bool, rest: int
) -> None:
    (found,) = trade_rows(
        table([row(price=Decimal(price), exchange=exchange)]), FRIDAY, XNYS
    ).to_pylist()

    assert (found["on_grid"], found["grid_rest"]) == (on_grid, rest)


def test_a_symbol_s_trades_are_compared_with_the_usual_number() -> None:
    usual = [SymbolFacts(trades, 0.0, None) for trades in (10, 30, 20, 40, 50)]
    history = {"IBM": usual, "GONE": usual, "NEW": usual[: LEAST_SESSIONS - 1]}
    rows = table([row(0), row(1), row(2, symbol="NEW"), row(3, cancelled=True)])

    assert symbol_rows(rows, history).to_pylist() == [
        {"symbol": "GONE", "trades": 0, "usual_trades": 30.0, "ratio": 0.0},
        {"symbol": "IBM", "trades": 2, "usual_trades": 30.0, "ratio": 2 / 30},
        {"symbol": "NEW", "trades": 1, "usual_trades": None, "ratio": None},
    ]


def test_holes_and_repeats_of_a_partition_are_counted() -> None:
    (found,) = partition_rows(
        [Coverage("trades", 2, Range(10, 20), records=9, distinct=8)]
    ).to_pylist()

    assert (found["holes"], found["repeats"]) == (2, 1)


@pytest.mark.parametrize(("archived", "missed"), [(4, 0.0), (5, 0.2), (3, -1 / 3)])
def test_trades_archived_after_the_recompute_are_reported_as_a_share(
    archived: int, missed: float
) -> None:
    rows = table([row(number) for number in range(4)])
    tables = SessionTables(FRIDAY, rows, None, (), (), archived, (), (), {}, frozenset())

    frames = {frame.name: frame.table for frame in trade_frames(tables, XNYS, {}, LONG_AFTER)}

    (found,) = frames["session"].to_pylist()
    assert found["missed_share"] == pytest.approx(missed)


def amending(
    id: str = "0", received_ns: int = NOON + SECOND, offset: int = 9, digest: str = "a"
) -> ArchivedAmendment:
    """Build a cancel of IBM's trade 0, a second after it."""
    return ArchivedAmendment(cancel(id, received_ns, offset), digest)


def judged(
    *amendments: ArchivedAmendment,
    rows: Sequence[Row] = (),
    before: frozenset[TradeName] | None = frozenset(),
    now_ns: int = LONG_AFTER,
) -> list[tuple[bool | None, bool | None, int]]:
    """Return found, applied and cancels of each amendment of a session."""
    tables = SessionTables(
        FRIDAY, table(rows or [row(0, cancelled=True), row(1)]), None, (), (), 0, (), amendments,
        {}, before,
    )  # fmt: skip
    found = amendment_rows(tables, now_ns).to_pylist()
    return [(one["found"], one["applied"], one["cancels"]) for one in found]


def test_an_applied_cancel_has_its_trade() -> None:
    assert judged(amending()) == [(True, True, 1)]
    assert judged(amending(id="1")) == [(True, False, 1)]


def test_a_cancel_received_before_its_trade_may_name_another_trade() -> None:
    assert judged(amending(id="1", received_ns=NOON - SECOND)) == [(True, None, 1)]


def test_a_cancel_finds_a_trade_of_a_session_before() -> None:
    name = ("truetape", "XNYS", "IBM", "900")

    assert judged(amending(id="900"), before=frozenset({name})) == [(True, None, 1)]


@pytest.mark.parametrize(
    ("before", "now_ns", "found"),
    [
        pytest.param(frozenset(), LONG_AFTER, False, id="nobody has it"),
        pytest.param(frozenset(), LONG_AFTER - 1, None, id="it may still come"),
        pytest.param(None, LONG_AFTER, None, id="the session before was not recomputed"),
    ],
)
def test_a_cancel_without_a_trade_is_judged_after_the_waiting_time(
    before: frozenset[TradeName] | None, now_ns: int, found: bool | None
) -> None:
    assert judged(amending(id="9"), before=before, now_ns=now_ns) == [(found, None, 1)]


def test_a_correction_that_gives_the_id_of_another_trade_clashes() -> None:
    """Which of the two a cancel by that id means depends on their arrival: it is not judged."""
    renamed = ArchivedAmendment(correction("0", "1", "1", NOON + SECOND, new_id="1"), "a")
    other = ArchivedAmendment(correction("0", "1", "1", NOON + SECOND, new_id="7"), "a")
    name = ("truetape", "XNYS", "IBM")

    def clashes(amendments: Sequence[ArchivedAmendment], given: str) -> list[tuple[object, ...]]:
        tables = SessionTables(
            FRIDAY, table([row(0, cancelled=True), row(1)]), None, (), (), 0, (),
            tuple(amendments), {(*name, given): (*name, "0")}, frozenset(),
        )  # fmt: skip
        rows = amendment_rows(tables, LONG_AFTER).to_pylist()
        return [(each["clashes"], each["applied"], each["cancels"]) for each in rows]

    assert clashes([renamed, amending("1")], "1") == [(True, True, 0), (False, None, None)]
    assert clashes([other, amending("7")], "7") == [(False, True, 1), (False, True, 1)]


def test_a_cancel_that_is_delivered_twice_counts_once() -> None:
    again, other = amending(offset=10), amending(offset=11, digest="b")

    assert [cancels for _, _, cancels in judged(amending(), again)] == [1, 1]
    assert [cancels for _, _, cancels in judged(amending(), again, other)] == [2, 2, 2]
