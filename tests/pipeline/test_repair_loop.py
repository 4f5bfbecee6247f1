"""What comes after a publication, on a real Kafka, InfluxDB and Spark: it is repaired symbol by
symbol, older revs come back, and nobody undoes that by chance.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from support.loop import Values, own_settings, send, served, truth
from truetape.batch.jobs import archive_once, recompute_once
from truetape.drift.attribution import Cause
from truetape.drift.ledger import DriftLedger
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.dirty import pending
from truetape.lake.publications import publications
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.trades import Cancel, Correction, Event, Position, Trade
from truetape.pipeline.publish import PublishOptions, publish_once, revert_once, verify_once
from truetape.pipeline.repairs import RepairState, dirty_sessions
from truetape.pipeline.sessions import finalize_session, repair_dirty
from truetape.pipeline.status import fields, status_of
from truetape.serving.backends import open_store
from truetape.serving.store import ServedBar

pytestmark = pytest.mark.real

VENUE = "IEXG"
DAY = date(2026, 3, 6)
SESSION = calendars.session(venues()[VENUE], DAY)
NEXT_MORNING = SESSION.end_ns + 9 * 3_600 * SECOND_NS
NOWHERE = Position("", 0, 0)
Served = Mapping[Resolution, list[Values]]


@dataclass(slots=True)
class World:
    """A session that was published, then changed by what came late, then reverted, step by step."""

    settings: Settings
    events: list[Event]
    seen: dict[str, Served] = field(default_factory=dict)
    rows: dict[str, list[ServedBar]] = field(default_factory=dict)

    def look(self, name: str) -> None:
        """Remember what is served now under a name."""
        with closing(open_store(self.settings)) as store:
            self.seen[name] = served(store, SESSION)
            start, end = SESSION.start_ns, SESSION.end_ns
            self.rows[name] = [
                bar for each in Resolution for bar in store.read(each, start, end, venue=VENUE)
            ]

    def bring(self, events: Iterable[Event]) -> Mapping[tuple[str, date], int]:
        """Let events come late; return what the archive marked dirty."""
        late = list(events)
        self.events += late
        send(self.settings, [record(one) for one in late])
        return archive_once(self.settings).dirty

    def truth(self) -> Served:
        return truth(self.events, SESSION)

    def repair(self) -> list[int]:
        """Repair what is dirty; return the revs that this made."""
        done, closed = repair_dirty(self.settings, "tests", "what came late", print)
        assert closed == []
        assert all(one.mismatches == [] for one in done)
        return [one.published.rev or 0 for one in done]


def record(event: Event) -> Record:
    return Record(encode(event).encode(), "truetape", event.symbol, event.received_ns)


def alone(trades: list[Trade]) -> Trade:
    """A trade that is the only one of its symbol in its second."""
    counts = Counter((one.symbol, one.event_ns // SECOND_NS) for one in trades)
    found = [one for one in trades if counts[one.symbol, one.event_ns // SECOND_NS] == 1]
    return next(one for one in found if one.symbol == "IBM")


@pytest.fixture(scope="module")
def world(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The whole story, told once."""
    settings = own_settings(stack, tmp_path_factory.mktemp("repair"), venues=(VENUE,))
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    made = simulate(
        SimulationPlan(DAY, venue=VENUE, seed=11, trades=500, offset_s=0, duration_s=120)
    )
    world = World(settings, list(made.truth.events))
    send(settings, made.records)
    archive_once(settings)
    finalize_session(settings, SESSION, "first", print, "tests")
    world.look("first")
    return world


def test_a_session_that_changes_after_it_was_final(world: World) -> None:
    """One story: each step needs the one before, and servers and Spark are dear."""
    assert world.seen["first"] == world.truth()
    each_final_bar_has_its_indicators(world)
    a_bust_and_a_late_trade_are_repaired(world)
    cancels_that_change_nothing_make_no_rev(world)
    a_revert_brings_the_first_rev_back_and_holds_it(world)
    only_a_reason_supersedes_it(world)
    the_drift_ledger_says_why(world)
    readers_are_told(world)


def each_final_bar_has_its_indicators(world: World) -> None:
    """The lake is Spark's, whose tables say less of themselves than those of other tests do."""
    with closing(open_store(world.settings)) as store:
        for width in set(Resolution) - {Resolution.SECOND}:
            window = (width, SESSION.start_ns, SESSION.end_ns)
            bars = {bar.key: bar for bar in store.read(*window, venue=VENUE)}
            rows = {row.key: row for row in store.read_indicators(*window, venue=VENUE)}
            assert rows.keys() == bars.keys()
            assert bars
            for symbol in {bar.symbol for bar in bars.values()}:
                first = min(key for key in bars if bars[key].symbol == symbol)
                assert rows[first].values["session_vwap"] == pytest.approx(bars[first].vwap)


def traded(world: World, symbol: str) -> Trade:
    """The first trade of a symbol."""
    trades = (one for one in world.events if isinstance(one, Trade))
    return next(one for one in trades if one.symbol == symbol)


def late(world: World, symbol: str, number: int) -> Trade:
    """A trade that is received on the next morning."""
    first = traded(world, symbol)
    return replace(
        first,
        id=str(number),
        sequence=number,
        price=first.price + 1,
        conditions=("@",),
        received_ns=NEXT_MORNING,
    )


def cancel(symbol: str, name: str | None, event_ns: int | None = None) -> Cancel:
    assert name is not None
    return Cancel("truetape", VENUE, symbol, name, event_ns, NEXT_MORNING, NOWHERE)


def a_bust_and_a_late_trade_are_repaired(world: World) -> None:
    """Two symbols of three. The bust names its trade, the only one of a second, by the id alone."""
    bust = alone([one for one in world.events if isinstance(one, Trade)])
    marked = world.bring([cancel("IBM", bust.id), late(world, "MSFT", 900_001)])
    assert marked == {(VENUE, DAY): 2}
    assert [(one.state, one.symbols) for one in dirty_sessions(world.settings.lake)] == [
        (RepairState.DUE, ("IBM", "MSFT"))
    ]

    assert world.repair() == [2]

    world.look("repaired")
    assert world.seen["repaired"] == world.truth() != world.seen["first"]
    revs = {symbol: {row.rev for row in world.rows["repaired"] if row.symbol == symbol}
            for symbol in ("AAPL", "IBM", "MSFT")}  # fmt: skip
    assert revs == {"AAPL": {1}, "IBM": {1, 2}, "MSFT": {1, 2}}
    [emptied] = [row for row in world.rows["repaired"] if row.void]
    start = bust.event_ns - bust.event_ns % SECOND_NS
    assert (emptied.symbol, emptied.start_ns, emptied.rev, emptied.final) == ("IBM", start, 2, True)
    assert pending(world.settings.lake) == []
    assert world.repair() == []


def cancels_that_change_nothing_make_no_rev(world: World) -> None:
    """The same cancel again; one before its trade, which the gate cannot judge while the session
    before was not recomputed; then that trade.
    """
    bust = alone([one for one in world.events if isinstance(one, Trade)])
    waited = late(world, "AAPL", 900_002)
    marked = world.bring(
        [cancel("IBM", bust.id), cancel("AAPL", waited.id, event_ns=waited.event_ns)]
    )
    assert marked == {(VENUE, DAY): 2}
    assert world.repair() == [0]
    assert world.bring([waited]) == {(VENUE, DAY): 1}
    assert world.repair() == [0]

    world.look("unchanged")
    assert world.seen["unchanged"] == world.truth() == world.seen["repaired"]
    assert [one.rev for one in publications(world.settings.lake, SESSION)] == [1, 2]
    assert pending(world.settings.lake) == []


def a_revert_brings_the_first_rev_back_and_holds_it(world: World) -> None:
    """What comes then stays dirty until somebody means it."""
    outcome = revert_once(world.settings, SESSION, 1, "ann", "the bust was not ours")
    assert (outcome.rev, outcome.edits > 0) == (3, True)
    world.look("reverted")
    assert world.seen["reverted"] == world.seen["first"]
    assert verify_once(world.settings, SESSION) == sum(map(len, world.seen["first"].values()))

    first = traded(world, "MSFT")
    assert first.id is not None
    fix = Correction(
        "truetape", VENUE, "MSFT", first.id, None, NEXT_MORNING + 1, first.price,
        first.size + 7, None, NOWHERE,
    )  # fmt: skip
    assert world.bring([late(world, "MSFT", 900_003), fix]) == {(VENUE, DAY): 1}

    assert world.repair() == []
    assert [one["state"] for one in fields(status_of(world.settings, VENUE))["dirty"]] == ["held"]
    recompute_once(world.settings, SESSION, dirty=True)
    with pytest.raises(ConfigError, match="held at rev 1 by ann"):
        publish_once(
            world.settings, SESSION, "tests", "nightly", options=PublishOptions(dirty_only=True)
        )
    world.look("held")
    assert world.seen["held"] == world.seen["first"]


def only_a_reason_supersedes_it(world: World) -> None:
    """What was recomputed is served, all of it, and the ledger tells the story."""
    options = PublishOptions(supersedes=True)
    publish_once(world.settings, SESSION, "bob", "the bust was right", options=options)

    world.look("superseded")
    assert world.seen["superseded"] == world.truth()
    ledger = publications(world.settings.lake, SESSION)
    assert [(one.rev, one.restores, one.who) for one in ledger] == [
        (1, 0, "tests"), (2, 0, "tests"), (3, 1, "ann"), (4, 0, "bob"),
    ]  # fmt: skip
    assert ledger[2].reason == "revert to rev 1: the bust was not ours"
    assert ledger[3].reason == "supersedes the revert to rev 1: the bust was right"
    assert pending(world.settings.lake) == []


def the_drift_ledger_says_why(world: World) -> None:
    """Of each rev, by symbol: what came late changed two, and what was held back a second time."""
    causes: dict[tuple[int, str], set[Cause]] = {}
    for entry in DriftLedger(world.settings.lake).of_session(SESSION):
        found = {part.cause for one in entry.fields for part in one.parts}
        causes.setdefault((entry.rev, entry.symbol), set()).update(found)
    assert causes == {
        (2, "IBM"): {Cause.CANCEL},
        (2, "MSFT"): {Cause.LATE},
        (3, "IBM"): {Cause.REVERT},
        (3, "MSFT"): {Cause.REVERT},
        (4, "IBM"): {Cause.CANCEL},
        (4, "MSFT"): {Cause.LATE, Cause.CORRECTION},
    }


def readers_are_told(world: World) -> None:
    """The boundary is where it was after the first publication; notes say what was done since."""
    told = fields(status_of(world.settings, VENUE))
    [boundary] = told["boundaries"]
    assert set(boundary["final_ns"].values()) == {SESSION.end_ns} == {boundary["fence_ns"]}
    assert (told["dirty"], told["held"]) == ([], [])
    with closing(open_store(world.settings)) as store:
        until = time.time_ns() + SECOND_NS
        points = list(store.read_points("boundary", SESSION.start_ns, until))
        notes = list(store.read_points("annotation", SESSION.start_ns, until))
    mine = [point for point in points if point.tags["venue"] == VENUE]
    # the first of them is the fence, written before anything was final
    assert [point.fields["final_ns"] for point in mine if point.tags["resolution"] == "1m"] == [
        0, *[SESSION.end_ns] * (len(mine) // 5 - 1)
    ]  # fmt: skip
    assert {point.fields["fence_ns"] for point in mine} == {SESSION.end_ns}
    assert {point.tags["resolution"] for point in mine} == {"1s", "1m", "5m", "1h", "1d"}
    assert {1, 2, 3, 4} <= {one.fields["rev"] for one in notes if one.tags["venue"] == VENUE}
