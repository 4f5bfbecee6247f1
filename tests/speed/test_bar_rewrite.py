"""Bars that a late write has overwritten are found, and only those."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from support.build import NOON, SECOND
from support.serving import bar
from support.speed import driver, ended
from truetape.market.resolution import Resolution
from truetape.serving.store import ServedBar
from truetape.speed import bar_rewrite
from truetape.speed.bar_ranges import Span
from truetape.speed.bar_rewrite import EVERY_S, Mender
from truetape.speed.driver import Driver, Life
from truetape.speed.heartbeat import Suspect

GRACE_S = 10.0
ONE_SECOND = Resolution.SECOND
SPAN = Span("XNYS", NOON, NOON + 60 * SECOND)
FROZEN = Suspect(3, driver(3), (SPAN,))


class Store:
    """What is served, and a clock and a process table beside it."""

    def __init__(self) -> None:
        self.bars: dict[Resolution, list[ServedBar]] = {resolution: [] for resolution in Resolution}
        self.now_s = 1_000.0
        self.life = Life.UNSEEN

    def read(self, resolution: Resolution, span: Span) -> Iterable[ServedBar]:
        return [one for one in self.bars[resolution] if span.holds(one.venue, one.start_ns)]

    def life_of(self, _: Driver) -> Life:
        return self.life

    def mender(self, *suspects: Suspect) -> Mender:
        return Mender(suspects, GRACE_S, self.life_of, lambda: self.now_s)


NEW = bar(trades=9, layer="speed", final=False)
OLD = replace(NEW, trades=4)


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_bar_with_older_values_is_wrong(store: Store) -> None:
    mender = store.mender(FROZEN)
    mender.note(ONE_SECOND, [OLD])
    mender.note(ONE_SECOND, [NEW])
    store.bars[ONE_SECOND] = [OLD]

    assert mender.wrong(store.read, {}) == {ONE_SECOND: [NEW], Resolution.MINUTE: []}


def test_a_bar_that_is_missing_is_wrong(store: Store) -> None:
    mender = store.mender(FROZEN)
    mender.note(Resolution.MINUTE, [NEW])

    assert mender.wrong(store.read, {})[Resolution.MINUTE] == [NEW]


def test_bars_as_they_were_written_are_left_alone(store: Store) -> None:
    mender = store.mender(FROZEN)
    mender.note(ONE_SECOND, [NEW])
    store.bars[ONE_SECOND] = [NEW, replace(OLD, symbol="KO")]

    assert mender.wrong(store.read, {})[ONE_SECOND] == []


def test_bars_that_no_suspect_can_touch_are_not_kept(store: Store) -> None:
    mender = store.mender(FROZEN)
    mender.note(ONE_SECOND, [replace(NEW, start_ns=SPAN.end_ns), replace(NEW, venue="KRAKEN")])

    assert mender.wrong(store.read, {})[ONE_SECOND] == []


def test_bars_below_the_fence_are_the_batch_layers(store: Store) -> None:
    mender = store.mender(FROZEN)
    mender.note(ONE_SECOND, [NEW])

    assert mender.wrong(store.read, {"XNYS": NOON + SECOND})[ONE_SECOND] == []


def test_without_suspects_nothing_is_due(store: Store) -> None:
    assert not store.mender().is_due([])


def test_a_silent_suspect_is_looked_after_from_time_to_time(store: Store) -> None:
    mender = store.mender(FROZEN)
    assert mender.is_due([])
    mender.wrong(store.read, {})

    store.now_s += EVERY_S - 1
    assert not mender.is_due([])
    store.now_s += 1
    assert mender.is_due([])
    assert mender.release({}) == ()


@pytest.mark.parametrize("way", ["a last word", "death"])
def test_an_end_is_looked_at_at_once_and_again_when_nothing_can_arrive(
    store: Store, way: str
) -> None:
    mender = store.mender(FROZEN)
    mender.is_due([])
    mender.wrong(store.read, {})
    words = [ended(3, epoch=3, touched=(SPAN,))] if way == "a last word" else []
    store.life = Life.ALIVE if words else Life.DEAD

    assert mender.is_due(words)
    mender.wrong(store.read, {})
    assert not mender.is_due(words)
    assert mender.release({}) == ()
    store.now_s += GRACE_S
    assert mender.release({}) == ()
    assert mender.is_due(words)
    mender.wrong(store.read, {})
    assert mender.release({}) == (FROZEN,)
    assert not mender.is_due(words)


def test_a_suspect_whose_bars_are_published_is_forgotten(store: Store) -> None:
    mender = store.mender(FROZEN, replace(FROZEN, epoch=4, spans=(replace(SPAN, venue="KRAKEN"),)))
    mender.note(ONE_SECOND, [NEW])

    assert mender.release({"XNYS": SPAN.end_ns - 1}) == ()
    assert mender.release({"XNYS": SPAN.end_ns}) == (FROZEN,)
    assert [one.epoch for one in mender.suspects] == [4]


def test_too_many_bars_are_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_rewrite, "MAX_KEPT_BARS", 2)
    mender = store.mender(FROZEN)

    mender.note(ONE_SECOND, [replace(NEW, start_ns=NOON + n * SECOND) for n in range(3)])

    assert mender.suspects == ()
    assert mender.wrong(store.read, {})[ONE_SECOND] == []
