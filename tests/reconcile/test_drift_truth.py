"""The ledger beside the truth of sessions that went wrong on purpose: every trade with its own
cause, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from support import truths
from support.build import SECOND
from support.drifting import SPEED, publish_and_note
from support.serving import own_buckets
from support.session_lake import FRIDAY, lake_session
from support.speed_toy import heard, provisional_bars, serve
from truetape.feeds.simulator import Plan, SimulatedSession, simulate
from truetape.feeds.simulator_faults import NO_FAULTS, Faults
from truetape.market.resolution import Resolution
from truetape.market.trades import Trade
from truetape.profiles import load
from truetape.reconcile.confusion import Confusion, Findings, confusion
from truetape.reconcile.diff import Change
from truetape.reconcile.drift import Cause, FieldDrift, Part
from truetape.reconcile.drift_ledger import BarDrift, DriftLedger
from truetape.reconcile.drift_notes import SpeedLayer
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import ServedBar

TROUBLED = Faults(late=0.03, duplicate=0.03, cancel=0.03, correct=0.03, malformed=0.01)
SYMBOLS = ("IBM", "KO", "MSFT")
COUNTS_REPEATS = replace(SPEED, drops_repeats=frozenset())


def made(faults: Faults, seed: int = 1, trades: int = 2_000) -> SimulatedSession:
    return simulate(Plan(FRIDAY.date, seed=seed, symbols=SYMBOLS, trades=trades, faults=faults))


@dataclass(frozen=True, slots=True)
class Story:
    """A session, what the speed layer served of it, how that layer is set, and the truth."""

    made: SimulatedSession
    served: dict[Resolution, list[ServedBar]]
    speed: SpeedLayer
    causes: dict[tuple[str, str], Cause]


def four_troubles() -> Story:
    """Late, doubled, cancelled and corrected prints of a feed whose repeats are counted."""
    session = made(TROUBLED)
    counted = heard(session.truth.events, repeats=True)
    causes = truths.of_troubles(session, counted)
    return Story(session, provisional_bars(counted), COUNTS_REPEATS, causes)


def repeats_dropped() -> Story:
    """The same from a feed whose contract expects repeats: they are no drift."""
    session = made(TROUBLED, seed=2)
    counted = heard(session.truth.events)
    causes = truths.of_troubles(session, counted)
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


def other_profile() -> Story:
    """The speed layer counts every print, the recompute goes by the conditions."""
    session = made(NO_FAULTS, seed=4)
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
    happened = truths.in_bars(story.causes, events, story.served, final)
    entries = DriftLedger(lake).of_session(FRIDAY)
    return happened, confusion(happened, entries), len(entries)


@pytest.mark.parametrize("tell", [four_troubles, repeats_dropped, driver_down], ids=str)
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


def test_bars_told_by_arrival_are_found_as_such(tmp_path: Path) -> None:
    session = made(NO_FAULTS, seed=6, trades=6_000)
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
