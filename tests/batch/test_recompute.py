"""Recompute from a lake: exact and repeatable bars of one session only."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from support.build import SECOND, VENUES, at, cancel, correction, trade
from support.raw import put_records
from support.spark_bars import bar_of, text_of
from truetape.batch.local import parts as local
from truetape.batch.recompute import Recomputed, RecomputeRules
from truetape.batch.session_recompute import recompute as recompute_session
from truetape.batch.spark import parts as on_spark
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import venues
from truetape.host.calendars import session
from truetape.host.profiles import load
from truetape.lake.delta import read_rows
from truetape.lake.tables import Table, table_path
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Event

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FRIDAY = session(VENUES["XNYS"], date(2026, 11, 20))
THURSDAY = session(VENUES["XNYS"], date(2026, 11, 19))
SATURDAY = session(VENUES["XNYS"], date(2026, 11, 21))
HALF_DAY = session(VENUES["XNYS"], date(2025, 11, 28))
KRAKEN_FRIDAY = session(VENUES["KRAKEN"], FRIDAY.date)
RULES = RecomputeRules(load("sip"), venues.venues(), lateness_ns=60 * SECOND)


TROUBLED = Faults(late=0.02, duplicate=0.03, cancel=0.03, correct=0.03, malformed=0.02)


Recompute = Callable[[str, Session], Recomputed]


@pytest.fixture(params=["local", pytest.param("spark", marks=pytest.mark.spark)], scope="module")
def recompute(request: pytest.FixtureRequest) -> Recompute:
    """Recompute a session of a lake, on either engine."""
    if request.param == "local":
        return lambda lake, session: recompute_session(lake, session, RULES, local.computed)
    spark: SparkSession = request.getfixturevalue("spark")
    engine = partial(on_spark.computed, spark=spark)
    return lambda lake, session: recompute_session(lake, session, RULES, engine)


def put(lake: str, records: Sequence[Record], partition: int = 0) -> None:
    """Append records to `raw` as the archive would."""
    stamp_ms = 1 + max(record.received_ns or 0 for record in records) // 1_000_000
    put_records(lake, records, partition=partition, stamp_ms=stamp_ms)


def native(events: Sequence[Event]) -> list[Record]:
    return [
        Record(encode(event).encode(), "truetape", event.symbol, event.received_ns)
        for event in events
    ]


def bars_in(lake: str) -> list[Bar]:
    return [bar_of(SimpleNamespace(**row)) for row in read_rows(lake, Table.BARS)]


def test_a_session_with_every_kind_of_event_equals_the_reference(
    recompute: Recompute, tmp_path: Path
) -> None:
    """Extended hours, auctions, duplicates, cancels, corrections; in all five resolutions."""
    lake = str(tmp_path / "lake")
    made = simulate(
        SimulationPlan(FRIDAY.date, venue="XNYS", seed=3, trades=4_000, faults=TROUBLED)
    )
    put(lake, made.records)

    outcome = recompute(lake, FRIDAY)

    settled = canonical(made.truth.events, venues.venues()).trades
    expected = [
        bar
        for resolution in Resolution
        for bar in bars(settled, RULES.profile, resolution, {"XNYS": [FRIDAY]})
    ]
    assert sorted(map(text_of, bars_in(lake))) == sorted(map(text_of, expected))
    assert (outcome.trades, outcome.duplicates, outcome.cancelled, outcome.corrected) == (
        len(settled),
        sum(item.duplicate for item in settled),
        sum(item.cancelled for item in settled),
        sum(item.corrected for item in settled),
    )
    before = [content(lake, table) for table in (Table.TRADES, Table.BARS)]

    assert recompute(lake, FRIDAY) == outcome
    assert [content(lake, table) for table in (Table.TRADES, Table.BARS)] == before


def test_numbers_of_20_digits_and_18_decimals_reach_the_bars_exactly(
    recompute: Recompute, tmp_path: Path
) -> None:
    """Half of the high has 18 decimals too. Half of the low is one and a half of the last place,
    which is rounded to two.
    """
    lake = str(tmp_path / "lake")
    high, low = "12345678901234567890.123456789012345678", "0.000000000000000003"
    events = [
        trade(high, "0.5", id="1", event_ns=TODAY),
        trade(low, "0.5", id="2", event_ns=TODAY + 1, offset=1),
    ]
    put(lake, native(events))

    recompute(lake, FRIDAY)

    rows = {row["id"]: row for row in read_rows(lake, Table.TRADES)}
    assert [(row["price"], row["notional"]) for _, row in sorted(rows.items())] == [
        (Decimal(high), Decimal("6172839450617283945.061728394506172839")),
        (Decimal(low), Decimal("0.000000000000000002")),
    ]
    for row in read_rows(lake, Table.BARS):
        assert (row["high"], row["low"], row["volume"]) == (Decimal(high), Decimal(low), 1)
        assert row["vwap"] == row["notional"] == Decimal("6172839450617283945.061728394506172841")


def test_sums_that_do_not_fit_end_a_recompute_with_the_symbol_and_change_nothing(
    recompute: Recompute, tmp_path: Path
) -> None:
    lake = str(tmp_path / "lake")
    events = [
        trade("1", "60000000000000000000", id=str(number), event_ns=TODAY, offset=number)
        for number in range(2)
    ]
    put(lake, native(events))

    with pytest.raises(Exception, match="XNYS IBM: the volume or the sum of price x size"):
        recompute(lake, FRIDAY)

    assert read_rows(lake, Table.BARS) == []
    put(lake, native([cancel("1", received_ns=TODAY + SECOND)]), partition=1)
    recompute(lake, FRIDAY)
    assert {row["volume"] for row in read_rows(lake, Table.BARS)} == {Decimal("6e19")}


def content(lake: str, table: Table) -> list[str]:
    return sorted(map(str, read_rows(lake, table)))


YESTERDAY = at("2026-11-19T17:00:00")
TODAY = at("2026-11-20T17:00:00")
SATURDAY_NOON = at("2026-11-21T17:00:00")
HALF_DAY_CLOSE = at("2025-11-28T18:00:00")
"""The day after Thanksgiving: New York closes at 13:00."""
CLOSE = at("2026-11-20T21:00:00")
MIDNIGHT, NEXT_MIDNIGHT = at("2026-11-20T00:00:00"), at("2026-11-21T00:00:00")

REUSED = {
    "BEFORE": cancel("17", TODAY - SECOND, symbol="BEFORE"),
    "AFTER": cancel("17", TODAY + SECOND, symbol="AFTER"),
    "TIMED": cancel("17", TODAY + SECOND, symbol="TIMED", event_ns=YESTERDAY),
    "EARLY": cancel("17", YESTERDAY + SECOND, symbol="EARLY"),
    "MOVED": correction("17", "120", "5", TODAY + SECOND, symbol="MOVED"),
}
"""Amendments of an id that is used on both days, each for a symbol of its own."""


def scenes() -> list[Event]:
    """Return the trades of all cases below, each with its own symbol."""
    reused = [
        trade(price, symbol=symbol, id="17", event_ns=when)
        for symbol in REUSED
        for price, when in (("100", YESTERDAY), ("110", TODAY))
    ]
    kraken = [
        trade(str(100 + number), "1", symbol="XBT", id=str(number), event_ns=when, venue="KRAKEN")
        for number, when in enumerate((MIDNIGHT - 1, MIDNIGHT, NEXT_MIDNIGHT - 1, NEXT_MIDNIGHT))
    ]
    return [
        *reused,
        *REUSED.values(),
        *kraken,
        trade("100", symbol="NEXTDAY", id="17", event_ns=YESTERDAY),
        trade("105", symbol="NEXTDAY", id="18", event_ns=YESTERDAY),
        trade("110", symbol="NEXTDAY", id="19", event_ns=TODAY),
        cancel("17", TODAY + SECOND, symbol="NEXTDAY"),
        trade("100", "10", symbol="HALF", id="1", event_ns=HALF_DAY_CLOSE - 3_600 * SECOND),
        trade("102", "20", symbol="HALF", id="2", event_ns=HALF_DAY_CLOSE - 1),
        trade("107", "40", symbol="HALF", id="3", event_ns=HALF_DAY_CLOSE),
        trade("100", "10", symbol="AUCTION", id="1", event_ns=CLOSE - SECOND),
        trade(
            "103", "500", symbol="AUCTION", id="2", event_ns=CLOSE + 5 * SECOND, conditions=("6",)
        ),
        trade("90", "1", symbol="AUCTION", id="3", event_ns=CLOSE + 6 * SECOND),
        trade(symbol="CLOSED", id="1", event_ns=SATURDAY_NOON),
        trade("100", symbol="UNSTAMPED", id="17", event_ns=TODAY),
        trade("101", symbol="UNSTAMPED", id="18", event_ns=TODAY),
    ]


class World:
    """A lake with all cases, recomputed once, and its bars by place."""

    def __init__(self, recompute: Recompute, folder: Path) -> None:
        self.lake = str(folder / "lake")
        unstamped = native([cancel("17", TODAY + SECOND, symbol="UNSTAMPED")])
        put(self.lake, [*native(scenes()), *(without_receipt(one) for one in unstamped)])
        for day in (THURSDAY, FRIDAY, SATURDAY, HALF_DAY, KRAKEN_FRIDAY):
            recompute(self.lake, day)
        self.bars = bars_in(self.lake)

    def of(
        self, symbol: str, resolution: Resolution, day: Session
    ) -> list[tuple[Decimal | None, ...]]:
        """Open, high, low, close, volume of each bar, in order."""
        found = [
            bar
            for bar in self.bars
            if (bar.symbol, bar.resolution) == (symbol, resolution) and day.contains(bar.start_ns)
        ]
        found.sort(key=lambda bar: bar.start_ns)
        return [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found]


def without_receipt(record: Record) -> Record:
    """Return the record as sent by a producer that sets no receipt header."""
    return replace(record, received_ns=None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(recompute: Recompute, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(recompute, tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(
    ("symbol", "yesterday", "today"),
    [
        pytest.param("NEXTDAY", 105, 110, id="today's cancel means yesterday's trade"),
        pytest.param("BEFORE", None, 110, id="reused id, cancel before today's trade"),
        pytest.param("AFTER", 100, None, id="reused id, cancel after today's trade"),
        pytest.param("TIMED", None, 110, id="reused id, cancel with its event time"),
        pytest.param("EARLY", None, 110, id="reused id, cancelled yesterday"),
        pytest.param("MOVED", 100, 120, id="reused id, correction after today's trade"),
        pytest.param("UNSTAMPED", None, 101, id="the cancel's record has no receipt header"),
    ],
)
def test_an_amendment_changes_the_trade_that_it_means(
    world: World, symbol: str, yesterday: int | None, today: int | None
) -> None:
    for day, price in ((THURSDAY, yesterday), (FRIDAY, today)):
        found = [bar[0] for bar in world.of(symbol, Resolution.MINUTE, day)]
        assert found == ([] if price is None else [price])


def test_the_daily_bar_of_a_half_day_ends_at_one_o_clock(world: World) -> None:
    assert len(world.of("HALF", Resolution.MINUTE, HALF_DAY)) == 3
    assert world.of("HALF", Resolution.DAY, HALF_DAY) == [(100, 102, 100, 102, 30)]


def test_a_closing_auction_that_is_reported_late_belongs_to_the_daily_bar(world: World) -> None:
    """The plain print a second later does not."""
    assert world.of("AUCTION", Resolution.DAY, FRIDAY) == [(100, 103, 100, 103, 510)]


def test_the_daily_bar_of_a_venue_that_never_closes_is_the_utc_day(world: World) -> None:
    assert world.of("XBT", Resolution.DAY, KRAKEN_FRIDAY) == [(101, 102, 101, 102, 2)]


def test_a_closed_day_has_intraday_bars_and_no_daily_bar(world: World) -> None:
    assert len(world.of("CLOSED", Resolution.MINUTE, SATURDAY)) == 1
    assert world.of("CLOSED", Resolution.DAY, SATURDAY) == []


def test_a_recompute_replaces_only_its_session_which_may_become_empty(
    recompute: Recompute, world: World
) -> None:
    """The only trade of Saturday is cancelled on Monday."""
    before = files_by_session(world.lake)
    monday = SATURDAY_NOON + 2 * 86_400 * SECOND
    put(world.lake, native([cancel("1", monday, symbol="CLOSED")]), partition=1)

    outcome = recompute(world.lake, SATURDAY)

    assert (outcome.trades, outcome.cancelled, outcome.bars) == (1, 1, {})
    after = files_by_session(world.lake)
    ours = ("bars", "XNYS", "2026-11-21")
    assert before.pop(ours) != after.pop(ours, set())
    before.pop(("trades", *ours[1:]))
    after.pop(("trades", *ours[1:]))
    assert after == before


def files_by_session(lake: str) -> dict[tuple[str, str, str], set[str]]:
    """Return the current data files by table, venue and session."""
    from deltalake import DeltaTable

    found: dict[tuple[str, str, str], set[str]] = {}
    for table in (Table.TRADES, Table.BARS):
        for uri in DeltaTable(table_path(lake, table)).file_uris():
            venue, day, file = uri.rsplit("/", 3)[1:]
            key = (str(table), venue.partition("=")[2], day.partition("=")[2])
            found.setdefault(key, set()).add(file)
    return found
