"""What the archive brings marks exactly the symbols of recomputed sessions that it changes, and a
recompute of these alone gives what a recompute of all would.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable

from support.build import SECOND, VENUES, at, cancel, correction, trade
from support.raw import put_records
from truetape.batch.dirty_marking import Marked, mark_dirty
from truetape.batch.jobs import dirty_symbols
from truetape.batch.local.parts import computed
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_recompute import recompute
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.host import venues
from truetape.host.calendars import session
from truetape.host.profiles import load
from truetape.lake import bars_lineage, dirty
from truetape.lake.completeness import CountedRange
from truetape.lake.coverage import OffsetCount, count_offsets
from truetape.lake.generations import Generations
from truetape.lake.tables import Table, table_path
from truetape.market.ranges import Range, Ranges
from truetape.market.trades import Event

WEDNESDAY, THURSDAY, FRIDAY = (session(VENUES["XNYS"], date(2026, 11, day)) for day in (18, 19, 20))
W, T, F, MONDAY = (at(f"2026-11-{day}T17:00:00") for day in (18, 19, 20, 23))
RULES = RecomputeRules(load("sip"), venues.venues(), lateness_ns=60 * SECOND)
CALM = ("CALM", "QUIET")
"""Symbols without new events."""

BEFORE: list[Event] = [
    *(trade(symbol=symbol, id="1", event_ns=when) for symbol in CALM for when in (T, F)),
    *(
        trade(str(100 + number), symbol=symbol, id=str(number), event_ns=F + number * SECOND)
        for symbol in ("LATE", "BUST", "TWICE", "NAMED", "TIMED", "MOVED")
        for number in range(3)
    ),
    trade(symbol="LATE", id="9", event_ns=W),
    trade(symbol="BUST", id="9", event_ns=T),
    trade(symbol="REUSED", id="7", event_ns=F),
    trade(symbol="EARLIER", id="7", event_ns=T),
    trade(symbol="EARLIER", id="8", event_ns=F),
    cancel("5", F, symbol="WAITS"),
]
"""Archived before Thursday and Friday were recomputed; Wednesday never was."""

AFTER: list[tuple[Event, set[tuple[date, str]]]] = [
    (trade("200", symbol="LATE", id="4", event_ns=F + 9 * SECOND, received_ns=MONDAY),
     {(FRIDAY.date, "LATE")}),
    (trade("200", symbol="LATE", id="5", event_ns=W, received_ns=MONDAY), set()),
    (cancel("9", MONDAY, symbol="BUST"), {(THURSDAY.date, "BUST")}),
    (trade("100", symbol="TWICE", id="0", event_ns=F, received_ns=MONDAY),
     {(FRIDAY.date, "TWICE")}),
    (cancel("1", MONDAY, symbol="NAMED"), {(FRIDAY.date, "NAMED")}),
    (cancel("1", MONDAY + SECOND, symbol="NAMED"), {(FRIDAY.date, "NAMED")}),
    (cancel("1", MONDAY, symbol="TIMED", event_ns=F), {(FRIDAY.date, "TIMED")}),
    (correction("2", "150", "7", MONDAY, symbol="MOVED"), {(FRIDAY.date, "MOVED")}),
    (trade(symbol="REUSED", id="7", event_ns=MONDAY), set()),
    (cancel("7", MONDAY + SECOND, symbol="REUSED"), set()),
    (cancel("7", MONDAY, symbol="EARLIER"), {(THURSDAY.date, "EARLIER")}),
    (cancel("404", MONDAY, symbol="CALM"), set()),
    (trade(symbol="WAITS", id="5", event_ns=F + SECOND, received_ns=MONDAY),
     {(FRIDAY.date, "WAITS")}),
    (trade(symbol="CALM", id="1", event_ns=MONDAY), set()),
]  # fmt: skip
"""The records of Monday, and the marks that each makes."""


def put(lake: str, events: Sequence[Event], first: int) -> None:
    """Append events to `raw` as the archive would, one record each."""
    records = [
        Record(encode(one).encode(), one.feed, one.symbol, one.received_ns) for one in events
    ]
    put_records(lake, records, first=first)


def content(lake: str, table: Table) -> list[str]:
    return sorted(
        str(row) for row in DeltaTable(table_path(lake, table)).to_pyarrow_table().to_pylist()
    )


class World:
    """A lake whose Thursday and Friday were recomputed before Monday's records came."""

    def __init__(self, folder: Path) -> None:
        self.lake = str(folder / "lake")
        put(self.lake, BEFORE, 0)
        for day in (THURSDAY, FRIDAY):
            recompute(self.lake, day, RULES, computed)
        self.known = count_offsets(self.lake, "trades")
        put(self.lake, [event for event, _ in AFTER], len(BEFORE))
        self.counted = count_offsets(self.lake, "trades", self.known)
        self.marked = self.mark()

    def mark(self) -> Marked:
        return mark_dirty(self.lake, self.known, self.counted, venues.venues())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_exactly_the_symbols_with_new_events_are_marked(world: World) -> None:
    expected = {place for _, places in AFTER for place in places}

    marks = dirty.pending_marks(world.lake)

    assert {(one.session, one.symbol) for one in marks} == expected
    assert len(marks) == len(expected)
    assert {(one.venue, one.raw_id, one.raw_version) for one in marks} == {
        ("XNYS", world.counted.raw_id, world.counted.raw_version)
    }
    assert world.marked == {
        ("XNYS", day): sum(one == day for one, _ in expected)
        for day in (THURSDAY.date, FRIDAY.date)
    }
    named = next(one for one in marks if one.symbol == "NAMED")
    assert (named.trades, named.amendments) == (0, 2)


def test_recomputing_the_marked_symbols_gives_the_tables_of_a_full_recompute(world: World) -> None:
    """The rows of the other symbols stay, in the same files or in others."""
    calm = [row for row in content(world.lake, Table.BARS) if "CALM" in row or "QUIET" in row]
    for day in (THURSDAY, FRIDAY):
        symbols = dirty_symbols(world.lake, day, RULES.profile)
        assert symbols is not None
        recompute(world.lake, day, RULES, computed, symbols)
    partly = [content(world.lake, table) for table in (Table.TRADES, Table.BARS)]
    assert [row for row in partly[1] if "CALM" in row or "QUIET" in row] == calm
    for day in (THURSDAY, FRIDAY):
        known = bars_lineage.recompute_bases(world.lake, day)
        assert [one.symbols is None for one in known] == [True, False]
        assert dirty.clear_marks(world.lake, day, known) == []

    for day in (THURSDAY, FRIDAY):
        recompute(world.lake, day, RULES, computed)

    wholly = [content(world.lake, table) for table in (Table.TRADES, Table.BARS)]
    for some, every in zip(partly, wholly, strict=True):
        assert set(some) - set(every) == set(every) - set(some) == set()
    assert partly == wholly


def test_events_archived_during_a_recompute_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is in a later version than the recompute reads, so its mark stays."""
    lake = str(tmp_path / "lake")
    put(lake, [trade(id="1", event_ns=F)], 0)
    known = count_offsets(lake, "trades")
    pinned = bars_lineage.current_raw

    def and_then_comes_another(root: str) -> tuple[str, int]:
        found = pinned(root)
        put(lake, [trade(id="2", event_ns=F, received_ns=MONDAY)], 1)
        mark_dirty(lake, known, count_offsets(lake, "trades", known), venues.venues())
        return found

    monkeypatch.setattr(bars_lineage, "current_raw", and_then_comes_another)
    assert recompute(lake, FRIDAY, RULES, computed).trades == 1

    [left] = dirty.clear_marks(lake, FRIDAY, bars_lineage.recompute_bases(lake, FRIDAY))
    assert (left.symbol, left.trades) == ("IBM", 1)


def test_a_session_with_bars_of_another_profile_is_recomputed_whole(world: World) -> None:
    mark = dirty.DirtyMark("XNYS", FRIDAY.date, "LATE", 1, 0, "raw", 1, 1)
    dirty.add_marks(world.lake, [mark])

    assert dirty_symbols(world.lake, FRIDAY, load("lean")) is None
    assert dirty_symbols(world.lake, WEDNESDAY, RULES.profile) is None


def counted(**held: tuple[int, int]) -> OffsetCount:
    found = {
        int(part[1:]): (CountedRange(Range(first, last + 1), 1, 1, 0),)
        for part, (first, last) in held.items()
    }
    return OffsetCount(Generations("trades", {}, {}), "raw", 1, {"trades": found})


def test_fresh_offsets_are_those_that_the_earlier_count_lacks() -> None:
    before = counted(p0=(0, 9), p1=(5, 7))
    after = counted(p0=(0, 12), p1=(0, 7), p2=(3, 3))

    assert after.fresh(before) == {
        ("trades", 0): Ranges.between(10, 13),
        ("trades", 1): Ranges.between(0, 5),
        ("trades", 2): Ranges.between(3, 4),
    }
    assert after.fresh(after) == {}
    assert before.fresh(replace(after, raw_version=2)) == {}
