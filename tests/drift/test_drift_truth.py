"""The drift ledger compared with the truth of sessions with injected faults: each faulty trade is
reported with its cause, and no other trade.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from support import truths
from support.build import READ_MS, SECOND, cancel, correction
from support.confusion import (
    Confusion,
    Findings,
    causes_of,
    confusion,
    in_changed_bars,
)
from support.data import real_data
from support.drifting import SPEED, publish_and_record
from support.serving import own_buckets
from support.session_lake import FRIDAY, lake_session
from support.speed_reference import counted_trades, provisional_bars, serve
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
class Case:
    """A session, the bars that the speed layer served, that layer's rules, and the true causes."""

    made: SimulatedSession
    served: dict[Resolution, list[ServedBar]]
    speed: SpeedRules
    causes: dict[tuple[str, str], Cause]


def four_faults() -> Case:
    """Late, repeated, cancelled and corrected prints of a feed whose repeats are counted."""
    session = made(TROUBLED)
    counted = counted_trades(session.truth.events, repeats=True)
    causes = causes_of(session.truth, counted, load("sip"))
    return Case(session, provisional_bars(counted), COUNTS_REPEATS, causes)


def repeats_dropped() -> Case:
    """The same faults in a feed whose contract expects repeats: repeats are no drift."""
    session = made(TROUBLED, seed=2)
    counted = counted_trades(session.truth.events)
    causes = causes_of(session.truth, counted, load("sip"))
    assert Cause.DUPLICATE not in causes.values()
    return Case(session, provisional_bars(counted), SPEED, causes)


def driver_down() -> Case:
    """The only fault: the driver was down for twenty minutes and never read those records."""
    session = made(NO_FAULTS, seed=3)
    gone = (FRIDAY.open_ns or 0) + 1_800 * SECOND, (FRIDAY.open_ns or 0) + 3_000 * SECOND

    def is_lost(item: Trade) -> bool:
        return gone[0] <= item.received_ns < gone[1]

    counted = counted_trades(session.truth.events, lost=is_lost)
    causes = truths.missing(session, is_lost, repeats=False)
    return Case(session, provisional_bars(counted), SPEED, causes)


CASES = (four_faults, repeats_dropped, driver_down)


def other_profile() -> Case:
    """The speed layer counts every print; the recompute judges by conditions."""
    session = made(NO_FAULTS, seed=4, trades=800)
    counted = counted_trades(session.truth.events)
    causes = {
        (item.symbol, item.id or ""): Cause.ELIGIBILITY
        for item in counted
        if load("sip").judge(item.conditions, item.tape) != load("all").judge(())
    }
    served = provisional_bars(counted, "all")
    return Case(session, served, replace(SPEED, profile="all"), causes)


def report_of(tmp_path: Path, case: Case) -> tuple[Findings, Confusion, int]:
    """Recompute and publish a case; return the true causes, the confusion matrix of the ledger, and
    the number of changed bars.
    """
    lake = str(tmp_path / "lake")
    events = case.made.truth.events
    lake_session(events).write(lake)
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    serve(store, case.served)
    publish_and_record(lake, store, case.speed)
    final = truths.shown(store, FRIDAY.start_ns, FRIDAY.end_ns)
    store.close()
    happened = in_changed_bars(case.causes, events, case.served, final)
    entries = DriftLedger(lake).of_session(FRIDAY)
    return happened, confusion(happened, entries), len(entries)


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_the_ledger_has_each_fault_with_its_cause_and_trade_and_no_other_entry(
    tmp_path: Path, build: Callable[[], Case]
) -> None:
    case = build()

    happened, matrix, bars = report_of(tmp_path, case)

    for line in matrix.lines():
        print(line)
    assert set(happened.values()) == set(case.causes.values())
    assert (matrix.right, matrix.wrong) == (len(happened), 0)
    assert bars <= len(happened)


def test_without_faults_another_profile_is_the_only_cause(tmp_path: Path) -> None:
    """An odd lot that moved no price is not listed: both layers count its volume."""
    case = other_profile()

    _, matrix, _ = report_of(tmp_path, case)

    for line in matrix.lines():
        print(line)
    assert {reported for _, reported in matrix.counts} <= {Cause.ELIGIBILITY, None}
    assert {true for true, reported in matrix.counts if reported is not None} == {Cause.ELIGIBILITY}
    assert matrix.counts[Cause.ELIGIBILITY, Cause.ELIGIBILITY] > 100
    assert matrix.unnamed == 0


@pytest.mark.real
def test_prints_summed_by_arrow_give_the_same_drift_as_single_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds also if only few prints are objects at a time."""
    case = four_faults()
    (tmp_path / "summed").mkdir()
    (tmp_path / "single").mkdir()
    report_of(tmp_path / "summed", case)
    monkeypatch.setattr(
        recorder, "UncertainPrints", lambda after, **_: UncertainPrints(after, True)
    )
    monkeypatch.setattr(bar_trades, "MAX_PRINTS", 40)
    report_of(tmp_path / "single", case)

    summed, single = (
        DriftLedger(str(tmp_path / name / "lake")).of_session(FRIDAY)
        for name in ("summed", "single")
    )
    assert len(summed) > 100
    assert summed == single


@dataclass(frozen=True, slots=True)
class RealDay:
    """A file of real trades, and how to read it."""

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
def test_faults_injected_into_real_days_are_reported_and_nothing_else(
    tmp_path: Path, day: RealDay
) -> None:
    """One trade in forty, by seed, is late, repeated, cancelled or corrected."""
    trades = real_trades(day)
    events, causes_of_faults = with_faults(trades, Random(7))
    counted = counted_trades(events, repeats=True)
    served = provisional_bars(counted, day.profile)
    lake = str(tmp_path / "lake")
    lake_session(events, day.session, day.profile).write(lake)
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    serve(store, served)

    speed = SpeedRules(day.profile, SPEED.lateness_ns, frozenset())
    publish_and_record(lake, store, speed, session=day.session)

    final = truths.shown(store, day.session.start_ns, day.session.end_ns)
    store.close()
    profile = load(day.profile)
    prices = {
        (item.symbol, item.id or "")
        for item in trades
        if profile.judge(item.conditions, item.tape).high_low
    }
    causes = {
        key: cause
        for key, cause in causes_of_faults.items()
        if cause is not Cause.CORRECTION or key in prices
    }
    happened = in_changed_bars(causes, events, served, final)
    matrix = confusion(happened, DriftLedger(lake).of_session(day.session))
    for line in matrix.lines():
        print(line)
    assert set(happened.values()) == set(TROUBLES)
    assert (matrix.right, matrix.wrong) == (len(happened), 0)


def real_trades(day: RealDay) -> list[Trade]:
    """Return the trades of a real session: numbered if without id, received when traded."""
    trades = [
        item
        for _, items in decode_file(
            real_data(*day.file), load_contract(day.feed), Limits(), READ_MS
        )
        for item in items
        if isinstance(item, Trade) and day.session.contains(item.event_ns)
    ]
    return [
        replace(item, id=item.id or str(number), received_ns=item.event_ns)
        for number, item in enumerate(trades)
    ]


def with_faults(
    trades: list[Trade], draw: Random
) -> tuple[list[Event], dict[tuple[str, str], Cause]]:
    """Inject a fault into one trade in forty; return all events, and the cause of each fault."""
    events: list[Event] = []
    causes_of_faults: dict[tuple[str, str], Cause] = {}
    for item in trades:
        cause = draw.choice(TROUBLES) if draw.random() < 1 / 40 else None
        name = {"symbol": item.symbol, "venue": item.venue, "feed": item.feed}
        soon = item.received_ns + 20 * SECOND
        is_late = cause is Cause.LATE
        events.append(replace(item, received_ns=soon + 400 * SECOND) if is_late else item)
        match cause:
            case Cause.DUPLICATE:
                events.append(replace(item, received_ns=soon))
            case Cause.CANCEL:
                events.append(cancel(item.id or "", soon, **name))
            case Cause.CORRECTION:
                better = str(item.price + draw.randint(1, 9))
                events.append(correction(item.id or "", better, str(item.size), soon, **name))
        if cause is not None:
            causes_of_faults[item.symbol, item.id or ""] = cause
    return events, causes_of_faults


def test_a_confusion_matrix_counts_wrong_repeated_and_absent_reports() -> None:
    bar = ("IBM", Resolution.MINUTE, 0)
    happened = {(bar, "1"): Cause.LATE, (bar, "2"): Cause.CANCEL, (bar, "3"): Cause.LATE}
    unit = Decimal(1)
    parts = (
        Part(Cause.LATE, unit, ("1", "9")),
        Part(Cause.DUPLICATE, unit, ("2",)),
        Part(Cause.UNEXPLAINED, unit),
    )
    fields = (FieldDrift("volume", unit, unit * 4, parts),)
    entry = BarDrift("XNYS", FRIDAY.date, 1, *bar, Change.CHANGE, fields)

    matrix = confusion(happened, [entry])

    assert dict(matrix.counts) == {
        (Cause.LATE, Cause.LATE): 1,
        (None, Cause.LATE): 1,
        (Cause.CANCEL, Cause.DUPLICATE): 1,
        (Cause.LATE, None): 1,
    }
    assert (matrix.right, matrix.wrong, matrix.unnamed) == (1, 4, 1)
