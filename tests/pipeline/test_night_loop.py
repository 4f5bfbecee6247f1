"""Sessions over midnight, on a real Kafka and InfluxDB with a driver of the speed layer.

Two weekends on which clocks are set, and a holiday, from the first print to the last repair.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

import truetape
from support.build import at
from support.drivers import read_all, running
from support.loop import own_settings, send, served, truth
from truetape.batch.jobs import archive_once
from truetape.console.chart import ChartRequest, read_chart
from truetape.drift.attribution import Cause
from truetape.drift.ledger import DriftLedger
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.history.explain import explain_bar
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import SECOND_NS, STREAMED, Resolution
from truetape.market.sessions import Session
from truetape.market.timeframe import timeframe_of
from truetape.market.trades import Event, Trade
from truetape.pipeline.sessions import finalize_sessions, repair_dirty
from truetape.pipeline.status import gaps, status_of
from truetape.serving.backends import open_store

pytestmark = pytest.mark.real

GLOBEX = venues()["XCME"]
DAYS = ("2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04", "2024-11-27", "2024-11-28",
        "2024-11-29")  # fmt: skip
"""Friday and Monday around each change of the clock; Thanksgiving and its neighbours."""
SESSIONS = [calendars.session(GLOBEX, date.fromisoformat(day)) for day in DAYS]
OPENS_AND_CLOSES = {
    "2024-03-08": ("2024-03-07T23:00:00", "2024-03-08T22:00:00"),
    "2024-03-11": ("2024-03-10T22:00:00", "2024-03-11T21:00:00"),
    "2024-11-01": ("2024-10-31T22:00:00", "2024-11-01T21:00:00"),
    "2024-11-04": ("2024-11-03T23:00:00", "2024-11-04T22:00:00"),
    "2024-11-27": ("2024-11-26T23:00:00", "2024-11-27T22:00:00"),
    "2024-11-28": ("2024-11-27T23:00:00", "2024-11-28T18:00:00"),
    "2024-11-29": ("2024-11-28T23:00:00", "2024-11-29T18:00:00"),
}
SYMBOL = "ESZ4"


@dataclass(slots=True)
class World:
    """The events of all sessions, and the settings of a pipeline that has received them."""

    settings: Settings
    events: list[Event] = field(default_factory=list)

    def send(self, events: Sequence[Event]) -> None:
        self.events += events
        records = [
            Record(encode(event).encode(), "truetape", event.symbol, event.received_ns)
            for event in events
        ]
        send(self.settings, records)

    def truth(self, session: Session) -> Mapping[Resolution, list[tuple[object, ...]]]:
        return {**truth(self.events, session)}

    def served(self, session: Session) -> Mapping[Resolution, list[tuple[object, ...]]]:
        with closing(open_store(self.settings)) as store:
            return {**served(store, session)}


def test_sessions_over_midnight_become_final(
    stack: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One test for all steps: each needs the one before."""
    settings = own_settings(
        stack, tmp_path_factory.mktemp("night"), venues=("XCME",), speed_engine="direct"
    )
    world = World(settings)
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    with running(settings) as driver:
        for session in SESSIONS:
            made = simulate(
                SimulationPlan(session.date, venue="XCME", symbols=(SYMBOL, "6EZ4"), trades=400)
            )
            send(settings, made.records)
            world.events += made.truth.events
        read_all(driver, settings)
        the_speed_layer_numbers_bars_from_the_evening(world)
        each_session_becomes_final(world)
    the_daily_bar_starts_in_the_evening(world)
    status_and_ledger_have_the_dates(world)
    a_late_trade_of_the_evening_repairs_the_monday(world)
    readers_and_pages_find_the_monday(world)


def the_speed_layer_numbers_bars_from_the_evening(world: World) -> None:
    with closing(open_store(world.settings)) as store:
        for session in SESSIONS:
            for width in STREAMED:
                bars = list(store.read(width, session.start_ns, session.end_ns, venue="XCME"))
                assert len(bars) > 100
                assert {bar.layer for bar in bars} == {"speed"}
                assert [bar.seq for bar in bars] == [
                    (bar.start_ns - session.start_ns) // width.width_ns for bar in bars
                ]


def each_session_becomes_final(world: World) -> None:
    """The gate is open, and served equals the reference in all five resolutions."""
    _, outcomes = finalize_sessions(world.settings, SESSIONS, "the sessions are over", print)

    assert [outcome.mismatches for outcome in outcomes] == [[]] * len(SESSIONS)
    for session in SESSIONS:
        assert world.served(session) == world.truth(session)
        entries = DriftLedger(world.settings.lake).of_session(session)
        assert not any(Cause.UNEXPLAINED in entry.causes for entry in entries)


def the_daily_bar_starts_in_the_evening(world: World) -> None:
    frame = truetape.read_bars(
        SYMBOL, DAYS[0], "2024-11-30", resolution="1d", settings=world.settings
    )

    opens = {day: at(opens) for day, (opens, _) in OPENS_AND_CLOSES.items()}
    days = [str(day.date()) for day in frame["session"]]
    assert dict(zip(days, (start.value for start in frame.index), strict=True)) == opens
    assert set(frame["final"]) == {True}
    assert {day: (session.open_ns, session.close_ns) for day, session in by_day().items()} == {
        day: (at(first), at(last)) for day, (first, last) in OPENS_AND_CLOSES.items()
    }


def by_day() -> dict[str, Session]:
    return {str(session.date): session for session in SESSIONS}


def status_and_ledger_have_the_dates(world: World) -> None:
    status = status_of(world.settings, "XCME")

    assert sorted(str(item.session) for item in status.newest) == [*DAYS]
    (boundary,) = status.boundaries
    assert [(run.start, run.end) for run in boundary.runs] == [
        (at("2024-03-07T23:00:00"), at("2024-03-11T22:00:00")),
        (at("2024-10-31T22:00:00"), at("2024-11-04T23:00:00")),
        (at("2024-11-26T23:00:00"), at("2024-11-29T23:00:00")),
    ]
    assert [[str(day) for day in gap] for gap in gaps(boundary, GLOBEX)] == [
        ["2024-03-12", "2024-10-31"],
        ["2024-11-05", "2024-11-26"],
    ]


def a_late_trade_of_the_evening_repairs_the_monday(world: World) -> None:
    """It is from the Sunday evening, so its session is that of the Monday."""
    monday = by_day()["2024-03-11"]
    model = next(event for event in world.events if isinstance(event, Trade))
    late = replace(
        model,
        id="late-1",
        sequence=None,
        event_ns=at("2024-03-10T22:00:00"),
        received_ns=monday.end_ns + 3_600 * SECOND_NS,
        price=model.price + 1,
    )
    world.send([late])
    dirty = archive_once(world.settings).dirty
    outcomes, closed = repair_dirty(world.settings, "tests", "a late trade", print)

    assert dict(dirty) == {("XCME", monday.date): 1}
    assert closed == []
    assert [outcome.published.session.date for outcome in outcomes] == [monday.date]
    assert world.served(monday) == world.truth(monday)


def readers_and_pages_find_the_monday(world: World) -> None:
    settings, monday = world.settings, by_day()["2024-03-11"]
    minutes = truetape.read_bars(
        SYMBOL, "2024-03-11", "2024-03-12", index="session", settings=settings
    )
    trades = truetape.read_trades(SYMBOL, "2024-03-11", "2024-03-12", settings=settings)
    asked = ChartRequest(SYMBOL, "XCME", timeframe_of(Resolution.MINUTE), monday.date)
    shown = read_chart(settings, asked)
    evening = at("2024-03-10T22:00:00")
    lineage = explain_bar(settings, SYMBOL, evening, Resolution.DAY, "XCME")

    assert {str(day.date()) for day, _ in minutes.index} == {"2024-03-11"}
    assert minutes["start"].iloc[0].value == evening
    assert "late-1" in set(trades["id"])
    assert (shown.before, shown.after) == (date(2024, 3, 8), date(2024, 3, 12))
    assert evening in {bar.start_ns for bar in shown.bars}
    assert lineage.bar.start_ns == evening
    assert len(lineage.revisions) == 2
