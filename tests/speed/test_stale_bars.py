"""Stale bars: the rewriter returns bars that a late write has overwritten, and no other bars."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from support.build import NOON, SECOND
from support.serving import bar
from support.speed import driver, exit_report
from truetape.market.resolution import Resolution
from truetape.serving.store import ServedBar
from truetape.speed import stale_bars
from truetape.speed.bar_ranges import Span
from truetape.speed.driver import Driver, Life
from truetape.speed.heartbeat import UnfinishedWrite
from truetape.speed.stale_bars import EVERY_S, StaleBarRewriter

GRACE_S = 10.0
ONE_SECOND = Resolution.SECOND
SPAN = Span("XNYS", NOON, NOON + 60 * SECOND)
FROZEN = UnfinishedWrite(3, driver(3), (SPAN,))


class Store:
    """Served bars, with a clock and a process table beside them."""

    def __init__(self) -> None:
        self.bars: dict[Resolution, list[ServedBar]] = {resolution: [] for resolution in Resolution}
        self.now_s = 1_000.0
        self.life = Life.UNSEEN

    def read(self, resolution: Resolution, span: Span) -> Iterable[ServedBar]:
        return [row for row in self.bars[resolution] if span.holds(row.venue, row.start_ns)]

    def life_of(self, _: Driver) -> Life:
        return self.life

    def rewriter(self, *unfinished: UnfinishedWrite) -> StaleBarRewriter:
        return StaleBarRewriter(unfinished, GRACE_S, self.life_of, lambda: self.now_s)


NEW = bar(trades=9, layer="speed", final=False)
OLD = replace(NEW, trades=4)


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_bar_with_older_values_is_stale(store: Store) -> None:
    rewriter = store.rewriter(FROZEN)
    rewriter.remember(ONE_SECOND, [OLD])
    rewriter.remember(ONE_SECOND, [NEW])
    store.bars[ONE_SECOND] = [OLD]

    assert rewriter.stale(store.read, {}) == {ONE_SECOND: [NEW], Resolution.MINUTE: []}


def test_a_missing_bar_is_stale(store: Store) -> None:
    rewriter = store.rewriter(FROZEN)
    rewriter.remember(Resolution.MINUTE, [NEW])

    assert rewriter.stale(store.read, {})[Resolution.MINUTE] == [NEW]


def test_bars_with_their_newest_values_are_not_stale(store: Store) -> None:
    rewriter = store.rewriter(FROZEN)
    rewriter.remember(ONE_SECOND, [NEW])
    store.bars[ONE_SECOND] = [NEW, replace(OLD, symbol="KO")]

    assert rewriter.stale(store.read, {})[ONE_SECOND] == []


def test_bars_outside_every_unfinished_write_are_not_watched(store: Store) -> None:
    rewriter = store.rewriter(FROZEN)
    rewriter.remember(
        ONE_SECOND, [replace(NEW, start_ns=SPAN.end_ns), replace(NEW, venue="KRAKEN")]
    )

    assert rewriter.stale(store.read, {})[ONE_SECOND] == []


def test_bars_below_the_fence_belong_to_the_batch_layer(store: Store) -> None:
    rewriter = store.rewriter(FROZEN)
    rewriter.remember(ONE_SECOND, [NEW])

    assert rewriter.stale(store.read, {"XNYS": NOON + SECOND})[ONE_SECOND] == []


def test_without_unfinished_writes_nothing_is_due(store: Store) -> None:
    assert not store.rewriter().is_due([])


def test_bars_of_a_silent_driver_are_compared_from_time_to_time(store: Store) -> None:
    rewriter = store.rewriter(FROZEN)
    assert rewriter.is_due([])
    rewriter.stale(store.read, {})

    store.now_s += EVERY_S - 1
    assert not rewriter.is_due([])
    store.now_s += 1
    assert rewriter.is_due([])
    assert rewriter.release({}) == ()


@pytest.mark.parametrize("way", ["exit report", "death"])
def test_bars_are_compared_at_once_after_an_end_and_again_when_nothing_can_arrive(
    store: Store, way: str
) -> None:
    rewriter = store.rewriter(FROZEN)
    rewriter.is_due([])
    rewriter.stale(store.read, {})
    reports = [exit_report(3, epoch=3, late_writes=(SPAN,))] if way == "exit report" else []
    store.life = Life.ALIVE if reports else Life.DEAD

    assert rewriter.is_due(reports)
    rewriter.stale(store.read, {})
    assert not rewriter.is_due(reports)
    assert rewriter.release({}) == ()
    store.now_s += GRACE_S
    assert rewriter.release({}) == ()
    assert rewriter.is_due(reports)
    rewriter.stale(store.read, {})
    assert rewriter.release({}) == (FROZEN,)
    assert not rewriter.is_due(reports)


def test_an_unfinished_write_is_released_once_its_bars_are_published(store: Store) -> None:
    rewriter = store.rewriter(
        FROZEN, replace(FROZEN, epoch=4, spans=(replace(SPAN, venue="KRAKEN"),))
    )
    rewriter.remember(ONE_SECOND, [NEW])

    assert rewriter.release({"XNYS": SPAN.end_ns - 1}) == ()
    assert rewriter.release({"XNYS": SPAN.end_ns}) == (FROZEN,)
    assert [write.epoch for write in rewriter.unfinished] == [4]


def test_too_many_bars_are_not_watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_bars, "MAX_WATCHED_BARS", 2)
    rewriter = store.rewriter(FROZEN)

    rewriter.remember(ONE_SECOND, [replace(NEW, start_ns=NOON + n * SECOND) for n in range(3)])

    assert rewriter.unfinished == ()
    assert rewriter.stale(store.read, {})[ONE_SECOND] == []
