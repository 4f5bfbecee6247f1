"""The ledger beside the truth of sessions that went wrong on purpose: every trade with its own
cause, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from support import truths
from support.build import SECOND, cancel, correction
from support.confusion import (
    Confusion,
    Findings,
    causes_of,
    confusion,
    in_changed_bars,
)
from support.data import real_data
from support.drifting import SPEED, publish_and_note
from support.serving import own_buckets
from support.session_lake import FRIDAY, lake_session
from support.speed_toy import heard, provisional_bars, serve
from truetape.drift import bar_trades, recorder
from truetape.drift.attribution import Cause, FieldDrift, Part
from truetape.drift.bar_trades import UncertainPrints
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.drift.recorder import SpeedRules
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.feeds.simulator.faults import NO_FAULTS, Faults
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host.calendars import session as session_on
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Event, Trade
from truetape.publish.diff import Change
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import ServedBar

TROUBLED = Faults(late=0.03, duplicate=0.03, cancel=0.03, correct=0.03, malformed=0.01)
SYMBOLS = ("IBM", "KO", "MSFT")
COUNTS_REPEATS = replace(SPEED, deduplicated_feeds=frozenset())


def made(faults: Faults, seed: int = 1, trades: int = 1_500) -> SimulatedSession:
    return simulate(
        SimulationPlan(FRIDAY.date, seed=seed, symbols=SYMBOLS, trades=trades, faults=faults)
    )


@dataclass(frozen=True, slots=True)
class Story:
    """A session, what the speed layer served of it, how that layer is set, and the truth."""

    made: SimulatedSession
    served: dict[Resolution, list[ServedBar]]
    speed: SpeedRules
    causes: dict[tuple[str, str], Cause]


def four_troubles() -> Story:
    """Late, doubled, cancelled and corrected prints of a feed whose repeats are counted."""
    session = made(TROUBLED)
    counted = heard(session.truth.events, repeats=True)
    causes = causes_of(session.truth, counted, load("sip"))
    return Story(session, provisional_bars(counted), COUNTS_REPEATS, causes)


def repeats_dropped() -> Story:
    """The same from a feed whose contract expects repeats: they are no drift."""
    session = made(TROUBLED, seed=2)
    counted = heard(session.truth.events)
    causes = causes_of(session.truth, counted, load("sip"))
    assert Cause.DUPLICATE not in causes.values()
    return Story(session, provisional_bars(counted), SPEED, causes)


def driver_down() -> Story:
    """No trouble but a driver that was away for twenty minutes and never read what came then."""
    session = made(NO_FAULTS, seed=3)
    gone = (FRIDAY.open_ns or 0) + 1_800 * SECOND, (FRIDAY.open_ns or 0) + 3_000 * SECOND

    def is_lost(one: Trade) -> bool:
        return gone[0] <= one.received_ns < gone[1]

    counted = heard(session.truth.events, lost=is_lost)
    causes = truths.missing(session, is_lost, repeats=False)
    return Story(session, provisional_bars(counted), SPEED, causes)


STORIES = (four_troubles, repeats_dropped, driver_down)


def other_profile() -> Story:
    """The speed layer counts every print, the recompute goes by the conditions."""
    session = made(NO_FAULTS, seed=4, trades=800)
    counted = heard(session.truth.events)
    causes = {
        (one.symbol, one.id or ""): Cause.ELIGIBILITY
        for one in counted
        if load("sip").judge(one.conditions, one.tape) != load("all").judge(())
    }
    served = provisional_bars(counted, "all")
    return Story(session, served, replace(SPEED, profile="all"), causes)


def told_by(tmp_path: Path, story: Story) -> tuple[Findings, Confusion, int]:
    """Recompute and publish a story; return the truth, what the ledger makes of it, and how many
    bars changed.
    """
    lake = str(tmp_path / "lake")
    events = story.made.truth.events
    lake_session(events).write(lake)
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    serve(store, story.served)
    publish_and_note(lake, store, story.speed)
    final = truths.shown(store, FRIDAY.start_ns, FRIDAY.end_ns)
    store.close()
    happened = in_changed_bars(story.causes, events, story.served, final)
    entries = DriftLedger(lake).of_session(FRIDAY)
    return happened, confusion(happened, entries), len(entries)


@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
def test_every_trouble_is_in_the_ledger_with_its_cause_and_trade_and_nothing_else(
    tmp_path: Path, tell: Callable[[], Story]
) -> None:
    story = tell()

    happened, found, bars = told_by(tmp_path, story)

    for line in found.lines():
        print(line)
    assert set(happened.values()) == set(story.causes.values())
    assert (found.right, found.wrong) == (len(happened), 0)
    assert bars <= len(happened)


def test_another_profile_is_the_only_cause_where_nothing_went_wrong(tmp_path: Path) -> None:
    """An odd lot that moved nothing is not listed: it counts for volume on either side."""
    story = other_profile()

    _, found, _ = told_by(tmp_path, story)

    for line in found.lines():
        print(line)
    assert {told for _, told in found.counts} <= {Cause.ELIGIBILITY, None}
    assert {true for true, told in found.counts if told is not None} == {Cause.ELIGIBILITY}
    assert found.counts[Cause.ELIGIBILITY, Cause.ELIGIBILITY] > 100
    assert found.unnamed == 0


@pytest.mark.real
def test_bars_told_by_arrival_are_found_as_such(tmp_path: Path) -> None:
    session = made(NO_FAULTS, seed=6, trades=2_500)
    served = truths.served_by_arrival(session.truth.events)
    lake = str(tmp_path / "lake")
    lake_session(session.truth.events).write(lake)
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    serve(store, served)

    publish_and_note(lake, store, SPEED)

    store.close()
    found = confusion(truths.of_order(session.truth.events), DriftLedger(lake).of_session(FRIDAY))
    for line in found.lines():
        print(line)
    assert found.wrong == 0
    assert found.right >= 4


@pytest.mark.real
def test_prints_that_arrow_adds_up_give_the_drift_of_prints_spelt_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when only few prints are objects at a time."""
    story = four_troubles()
    (tmp_path / "summed").mkdir()
    (tmp_path / "spelt").mkdir()
    told_by(tmp_path / "summed", story)
    monkeypatch.setattr(
        recorder, "UncertainPrints", lambda after, **_: UncertainPrints(after, True)
    )
    monkeypatch.setattr(bar_trades, "MAX_PRINTS", 40)
    told_by(tmp_path / "spelt", story)

    summed, spelt = (
        DriftLedger(str(tmp_path / name / "lake")).of_session(FRIDAY)
        for name in ("summed", "spelt")
    )
    assert len(summed) > 100
    assert summed == spelt


@dataclass(frozen=True, slots=True)
class RealDay:
    """A file of real trades, and how it is to be read."""

    file: tuple[str, ...]
    feed: str
    profile: str
    session: Session


IBM = RealDay(
    ("lean_us_equity_2013-10", "tick", "ibm", "20131007_trade.zip"),
    "lean-equity-tick",
    "lean",
    session_on(venues()["USEQ"], date(2013, 10, 7)),
)
KRAKEN = RealDay(
    ("kraken_xbtusdt_2025-11-10", "http_trades.json"),
    "kraken-rest",
    "all",
    session_on(venues()["KRAKEN"], date(2025, 11, 10)),
)
TROUBLES = (Cause.LATE, Cause.DUPLICATE, Cause.CANCEL, Cause.CORRECTION)


@pytest.mark.data
@pytest.mark.parametrize(
    "day",
    [
        pytest.param(IBM, id="IBM", marks=pytest.mark.real),  # 10 s: not for the fast tier
        pytest.param(KRAKEN, id="KRAKEN"),
    ],
)
def test_troubles_put_into_real_days_are_found_and_nothing_else(
    tmp_path: Path, day: RealDay
) -> None:
    """One trade in forty, by seed: late, delivered again, cancelled, corrected."""
    trades = real_trades(day)
    events, troubled = with_troubles(trades, Random(7))
    counted = heard(events, repeats=True)
    served = provisional_bars(counted, day.profile)
    lake = str(tmp_path / "lake")
    lake_session(events, day.session, day.profile).write(lake)
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    serve(store, served)

    speed = SpeedRules(day.profile, SPEED.lateness_ns, frozenset())
    publish_and_note(lake, store, speed, session=day.session)

    final = truths.shown(store, day.session.start_ns, day.session.end_ns)
    store.close()
    profile = load(day.profile)
    prices = {
        (one.symbol, one.id or "")
        for one in trades
        if profile.judge(one.conditions, one.tape).high_low
    }
    causes = {
        key: cause
        for key, cause in troubled.items()
        if cause is not Cause.CORRECTION or key in prices
    }
    happened = in_changed_bars(causes, events, served, final)
    found = confusion(happened, DriftLedger(lake).of_session(day.session))
    for line in found.lines():
        print(line)
    assert set(happened.values()) == set(TROUBLES)
    assert (found.right, found.wrong) == (len(happened), 0)


def real_trades(day: RealDay) -> list[Trade]:
    """The trades of a real session, numbered where they have no ids, received when they traded."""
    found = [
        item
        for _, items in decode_file(real_data(*day.file), load_contract(day.feed), Limits())
        for item in items
        if isinstance(item, Trade) and day.session.holds(item.event_ns)
    ]
    return [
        replace(one, id=one.id or str(number), received_ns=one.event_ns)
        for number, one in enumerate(found)
    ]


def with_troubles(
    trades: list[Trade], draw: Random
) -> tuple[list[Event], dict[tuple[str, str], Cause]]:
    """Let one trade in forty go wrong; return all events, and what happened to which trade."""
    events: list[Event] = []
    troubled: dict[tuple[str, str], Cause] = {}
    for one in trades:
        cause = draw.choice(TROUBLES) if draw.random() < 1 / 40 else None
        name = {"symbol": one.symbol, "venue": one.venue, "feed": one.feed}
        soon = one.received_ns + 20 * SECOND
        is_late = cause is Cause.LATE
        events.append(replace(one, received_ns=soon + 400 * SECOND) if is_late else one)
        match cause:
            case Cause.DUPLICATE:
                events.append(replace(one, received_ns=soon))
            case Cause.CANCEL:
                events.append(cancel(one.id or "", soon, **name))
            case Cause.CORRECTION:
                better = str(one.price + draw.randint(1, 9))
                events.append(correction(one.id or "", better, str(one.size), soon, **name))
        if cause is not None:
            troubled[one.symbol, one.id or ""] = cause
    return events, troubled


def test_a_confusion_counts_what_is_told_wrong_twice_or_never() -> None:
    bar = ("IBM", Resolution.MINUTE, 0)
    happened = {(bar, "1"): Cause.LATE, (bar, "2"): Cause.CANCEL, (bar, "3"): Cause.LATE}
    one = Decimal(1)
    parts = (
        Part(Cause.LATE, one, ("1", "9")),
        Part(Cause.DUPLICATE, one, ("2",)),
        Part(Cause.UNEXPLAINED, one),
    )
    fields = (FieldDrift("volume", one, one * 4, parts),)
    entry = BarDrift("XNYS", FRIDAY.date, 1, *bar, Change.CHANGE, fields)

    found = confusion(happened, [entry])

    assert dict(found.counts) == {
        (Cause.LATE, Cause.LATE): 1,
        (None, Cause.LATE): 1,
        (Cause.CANCEL, Cause.DUPLICATE): 1,
        (Cause.LATE, None): 1,
    }
    assert (found.right, found.wrong, found.unnamed) == (1, 4, 1)
