"""After a publication, on a real Kafka, InfluxDB and Spark: dirty symbols are repaired symbol by
symbol, older revs are restored, and only an explicit request supersedes a revert.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import count

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
from truetape.lake.dirty import pending_marks
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
PLACES = count()
Served = Mapping[Resolution, list[Values]]


@dataclass(slots=True)
class World:
    """A session that was published, then changed by late events, then reverted, step by step."""

    settings: Settings
    events: list[Event]
    seen: dict[str, Served] = field(default_factory=dict)
    rows: dict[str, list[ServedBar]] = field(default_factory=dict)

    def remember(self, name: str) -> None:
        """Remember the served bars under a name."""
        with closing(open_store(self.settings)) as store:
            self.seen[name] = served(store, SESSION)
            start, end = SESSION.start_ns, SESSION.end_ns
            self.rows[name] = [
                bar for each in Resolution for bar in store.read(each, start, end, venue=VENUE)
            ]

    def send_late(self, events: Iterable[Event]) -> Mapping[tuple[str, date], int]:
        """Send late events; return the sessions that the archive marked dirty."""
        late = list(events)
        self.events += late
        send(self.settings, [record(event) for event in late])
        return archive_once(self.settings).dirty

    def truth(self) -> Served:
        return truth(self.events, SESSION)

    def repair(self) -> list[int]:
        """Repair the dirty sessions; return the revs that this made."""
        outcomes, closed = repair_dirty(self.settings, "tests", "late events", print)
        assert closed == []
        assert all(outcome.mismatches == [] for outcome in outcomes)
        return [outcome.published.rev or 0 for outcome in outcomes]


def place() -> Position:
    """Return a position that no other event of this module has."""
    return Position("", 0, next(PLACES))


def record(event: Event) -> Record:
    return Record(encode(event).encode(), "truetape", event.symbol, event.received_ns)


def alone_in_its_second(trades: list[Trade]) -> Trade:
    """Return a trade of IBM that is the only one in its second."""
    counts = Counter((item.symbol, item.event_ns // SECOND_NS) for item in trades)
    single = [item for item in trades if counts[item.symbol, item.event_ns // SECOND_NS] == 1]
    return next(item for item in single if item.symbol == "IBM")


@pytest.fixture(scope="module")
def world(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The session after its first publication."""
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
    world.remember("first")
    return world


def test_a_final_session_is_repaired_reverted_and_superseded(world: World) -> None:
    """One test for all steps: each needs the one before, and servers and Spark start slowly."""
    assert world.seen["first"] == world.truth()
    each_final_bar_has_its_indicators(world)
    a_cancel_and_a_late_trade_are_repaired(world)
    cancels_that_change_nothing_make_no_rev(world)
    a_revert_restores_and_holds_the_first_rev(world)
    only_an_explicit_request_supersedes_the_revert(world)
    the_drift_ledger_has_the_causes(world)
    readers_get_boundary_and_annotations(world)


def each_final_bar_has_its_indicators(world: World) -> None:
    """Spark wrote this lake; its tables have fewer file statistics than those of other tests."""
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


def first_trade(world: World, symbol: str) -> Trade:
    """Return the first trade of a symbol."""
    trades = (event for event in world.events if isinstance(event, Trade))
    return next(item for item in trades if item.symbol == symbol)


def late_trade(world: World, symbol: str, number: int) -> Trade:
    """Return a trade that was received the next morning."""
    first = first_trade(world, symbol)
    return replace(
        first,
        id=str(number),
        sequence=number,
        price=first.price + 1,
        conditions=("@",),
        received_ns=NEXT_MORNING,
        position=place(),
    )


def cancel(symbol: str, name: str | None, event_ns: int | None = None) -> Cancel:
    assert name is not None
    return Cancel("truetape", VENUE, symbol, name, event_ns, NEXT_MORNING, place())


def a_cancel_and_a_late_trade_are_repaired(world: World) -> None:
    """They change two of three symbols. The cancel names its trade only by id; its bar empties."""
    cancelled = alone_in_its_second([event for event in world.events if isinstance(event, Trade)])
    marked = world.send_late([cancel("IBM", cancelled.id), late_trade(world, "MSFT", 900_001)])
    assert marked == {(VENUE, DAY): 2}
    assert [(dirty.state, dirty.symbols) for dirty in dirty_sessions(world.settings.lake)] == [
        (RepairState.DUE, ("IBM", "MSFT"))
    ]

    assert world.repair() == [2]

    world.remember("repaired")
    assert world.seen["repaired"] == world.truth() != world.seen["first"]
    revs = {symbol: {row.rev for row in world.rows["repaired"] if row.symbol == symbol}
            for symbol in ("AAPL", "IBM", "MSFT")}  # fmt: skip
    assert revs == {"AAPL": {1}, "IBM": {1, 2}, "MSFT": {1, 2}}
    [emptied] = [row for row in world.rows["repaired"] if row.void]
    start = cancelled.event_ns - cancelled.event_ns % SECOND_NS
    assert (emptied.symbol, emptied.start_ns, emptied.rev, emptied.final) == ("IBM", start, 2, True)
    assert pending_marks(world.settings.lake) == []
    assert world.repair() == []


def cancels_that_change_nothing_make_no_rev(world: World) -> None:
    """The same cancel again; a cancel before its trade, which the gate cannot judge until the
    session before is recomputed; then that trade.
    """
    cancelled = alone_in_its_second([event for event in world.events if isinstance(event, Trade)])
    announced = late_trade(world, "AAPL", 900_002)
    marked = world.send_late(
        [cancel("IBM", cancelled.id), cancel("AAPL", announced.id, event_ns=announced.event_ns)]
    )
    assert marked == {(VENUE, DAY): 2}
    assert world.repair() == [0]
    assert world.send_late([announced]) == {(VENUE, DAY): 1}
    assert world.repair() == [0]

    world.remember("unchanged")
    assert world.seen["unchanged"] == world.truth() == world.seen["repaired"]
    assert [publication.rev for publication in publications(world.settings.lake, SESSION)] == [1, 2]
    assert pending_marks(world.settings.lake) == []


def a_revert_restores_and_holds_the_first_rev(world: World) -> None:
    """Later events leave the session dirty until someone publishes it with a reason."""
    outcome = revert_once(world.settings, SESSION, 1, "ann", "the cancel was not ours")
    assert (outcome.rev, outcome.edits > 0) == (3, True)
    world.remember("reverted")
    assert world.seen["reverted"] == world.seen["first"]
    assert verify_once(world.settings, SESSION) == sum(map(len, world.seen["first"].values()))

    first = first_trade(world, "MSFT")
    assert first.id is not None
    fix = Correction(
        "truetape", VENUE, "MSFT", first.id, None, NEXT_MORNING + 1, first.price,
        first.size + 7, None, None, place(),
    )  # fmt: skip
    assert world.send_late([late_trade(world, "MSFT", 900_003), fix]) == {(VENUE, DAY): 1}

    assert world.repair() == []
    assert [dirty["state"] for dirty in fields(status_of(world.settings, VENUE))["dirty"]] == [
        "held"
    ]
    recompute_once(world.settings, SESSION, dirty=True)
    with pytest.raises(ConfigError, match="held at rev 1 by ann"):
        publish_once(
            world.settings, SESSION, "tests", "nightly", options=PublishOptions(dirty_only=True)
        )
    world.remember("held")
    assert world.seen["held"] == world.seen["first"]


def only_an_explicit_request_supersedes_the_revert(world: World) -> None:
    """All recomputed bars are served, and the ledger has every step."""
    options = PublishOptions(supersedes=True)
    publish_once(world.settings, SESSION, "bob", "the cancel was right", options=options)

    world.remember("superseded")
    assert world.seen["superseded"] == world.truth()
    ledger = publications(world.settings.lake, SESSION)
    assert [(publication.rev, publication.restores, publication.who) for publication in ledger] == [
        (1, 0, "tests"), (2, 0, "tests"), (3, 1, "ann"), (4, 0, "bob"),
    ]  # fmt: skip
    assert ledger[2].reason == "revert to rev 1: the cancel was not ours"
    assert ledger[3].reason == "supersedes the revert to rev 1: the cancel was right"
    assert pending_marks(world.settings.lake) == []


def the_drift_ledger_has_the_causes(world: World) -> None:
    """By rev and symbol. The changes that the revert undid appear again in rev 4."""
    causes: dict[tuple[int, str], set[Cause]] = {}
    for entry in DriftLedger(world.settings.lake).of_session(SESSION):
        parts = {part.cause for drift in entry.fields for part in drift.parts}
        causes.setdefault((entry.rev, entry.symbol), set()).update(parts)
    assert causes == {
        (2, "IBM"): {Cause.CANCEL},
        (2, "MSFT"): {Cause.LATE},
        (3, "IBM"): {Cause.REVERT},
        (3, "MSFT"): {Cause.REVERT},
        (4, "IBM"): {Cause.CANCEL},
        (4, "MSFT"): {Cause.LATE, Cause.CORRECTION},
    }


def readers_get_boundary_and_annotations(world: World) -> None:
    """The boundary is where the first publication moved it; each rev has an annotation."""
    status = fields(status_of(world.settings, VENUE))
    [boundary] = status["boundaries"]
    assert set(boundary["final_ns"].values()) == {SESSION.end_ns} == {boundary["fence_ns"]}
    assert (status["dirty"], status["held"]) == ([], [])
    with closing(open_store(world.settings)) as store:
        until = time.time_ns() + SECOND_NS
        points = list(store.read_points("boundary", SESSION.start_ns, until))
        notes = list(store.read_points("annotation", SESSION.start_ns, until))
    own_points = [point for point in points if point.tags["venue"] == VENUE]
    # the first point is the fence, written before any bar was final
    minutes = [point for point in own_points if point.tags["resolution"] == "1m"]
    assert [point.fields["final_ns"] for point in minutes] == [
        0, *[SESSION.end_ns] * (len(own_points) // 5 - 1)
    ]  # fmt: skip
    assert {point.fields["fence_ns"] for point in own_points} == {SESSION.end_ns}
    assert {point.tags["resolution"] for point in own_points} == {"1s", "1m", "5m", "1h", "1d"}
    assert {1, 2, 3, 4} <= {point.fields["rev"] for point in notes if point.tags["venue"] == VENUE}
