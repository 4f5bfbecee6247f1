"""The writer: which bars it writes and when, which it skips, what a failure leaves behind."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from support.build import NOON, SECOND, VENUES
from support.race import Control
from support.speed import driver, exit_report
from truetape.broker.boundary import Boundary
from truetape.host.errors import ConfigError, LeaseLostError, TransientError, VerificationError
from truetape.market.resolution import Resolution
from truetape.serving.store import DeadLine, ServedBar, WriteReport
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords
from truetape.speed.driver import Life
from truetape.speed.heartbeat import Phase, UnfinishedWrite
from truetape.speed.stale_bars import StaleBarRewriter
from truetape.speed.takeover import Takeover
from truetape.speed.writer import SpeedWriter, sequence


class Fences(Control):
    """The control topic as the writer sees it."""

    def __init__(self, fence_ns: int = 0) -> None:
        super().__init__()
        self.fence_ns = fence_ns

    def boundaries(self) -> dict[str, Boundary]:
        return {"XNYS": Boundary("XNYS", self.fence_ns)} if self.fence_ns else {}


class Store:
    """Takes bars, or fails with the given outcome."""

    def __init__(self, outcome: Exception | str | None = None) -> None:
        self.outcome = outcome
        self.bars: list[ServedBar] = []

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        rows = list(bars)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, str):
            return WriteReport(len(rows), len(rows) - 1, (DeadLine("bar", self.outcome),))
        self.bars += rows
        return WriteReport(len(rows), len(rows))

    def read(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str
    ) -> list[ServedBar]:
        newest = {bar.key: bar for bar in self.bars}
        return list(newest.values()) if resolution is Resolution.SECOND else []


class Lease:
    """Records each check with the number of bars stored by then; fails from `lost_from` on."""

    def __init__(self, store: Store, lost_from: int | None = None) -> None:
        self.store = store
        self.lost_from = lost_from
        self.checks: list[tuple[object, int]] = []
        self.states: list[Phase] = []

    def beat(self, **changes: Any) -> None:
        if "state" in changes:
            self.states.append(changes["state"])
            return
        if self.lost_from is not None and len(self.checks) >= self.lost_from:
            raise LeaseLostError("fenced")
        self.checks.append((changes.get("writing", changes), len(self.store.bars)))


FIRST_DRIVER = Takeover()


def frame(*starts_ns: int, price: Decimal | None = Decimal(100)) -> Any:
    rows = [
        SimpleNamespace(
            symbol="IBM", venue="XNYS", resolution="1s", start_ns=start, open=price, high=price,
            low=price, close=price, volume=Decimal(5), vwap=price, trades=1,
        )
        for start in starts_ns
    ]  # fmt: skip
    return SimpleNamespace(collect=lambda: rows)


def writer(
    store: Store,
    fences: Control | None = None,
    lease: Lease | None = None,
    takeover: Takeover = FIRST_DRIVER,
) -> SpeedWriter:
    return SpeedWriter(
        store,  # type: ignore[arg-type]
        ControlRecords(fences or Fences(), "trades"),  # type: ignore[arg-type]
        VENUES,
        lease or Lease(store),
        takeover,
        StaleBarRewriter(takeover.unfinished, 10.0, lambda _: Life.ALIVE),
    )


def test_bars_are_served_as_provisional() -> None:
    store = Store()

    writer(store)(frame(NOON), 0)

    (bar,) = store.bars
    assert (bar.layer, bar.final, bar.rev, bar.void) == ("speed", False, 0, False)
    assert (bar.start_ns, bar.close, bar.trades, bar.seq) == (NOON, 100.0, 1, 12 * 3_600)


def test_the_lease_is_checked_before_and_after_a_write_and_names_its_bars() -> None:
    store = Store()
    lease = Lease(store)

    writer(store, lease=lease)(frame(NOON, NOON + 3 * SECOND), 0)

    span = Span("XNYS", NOON, NOON + 3 * SECOND + 1)
    assert lease.checks == [((span,), 0), ((), 2)]


def test_without_the_lease_nothing_is_written() -> None:
    store = Store()
    speed = writer(store, lease=Lease(store, lost_from=0))

    with pytest.raises(LeaseLostError):
        speed(frame(NOON), 0)

    assert store.bars == []
    assert isinstance(speed.failure, LeaseLostError)


def test_a_lease_lost_while_writing_fails_the_batch() -> None:
    """So Spark does not commit it, and the heartbeat that names its bars stays the newest."""
    store = Store()
    speed = writer(store, lease=Lease(store, lost_from=1))

    with pytest.raises(LeaseLostError):
        speed(frame(NOON), 0)

    assert len(store.bars) == 1
    assert speed.batch == -1


def test_a_driver_reports_that_it_runs_before_it_first_reads_the_fences() -> None:
    """A publication waits only for drivers that run: no fence may be raised in between."""
    store, fences = Store(), Fences(NOON)
    lease = Lease(store)
    reports: list[int] = []
    fences.boundaries = lambda: (reports.append(len(lease.states)), {})[1]  # type: ignore[method-assign]
    speed = writer(store, fences, lease)

    speed(frame(NOON), 0)
    speed(frame(NOON + SECOND), 1)

    assert reports == [1, 1]
    assert lease.states == [Phase.RUNNING]


def test_a_batch_without_bars_does_not_check_the_lease() -> None:
    store = Store()
    lease = Lease(store)

    writer(store, lease=lease)(frame(NOON, price=None), 0)

    assert lease.checks == []


def test_a_bar_below_the_fence_is_skipped_and_counted() -> None:
    store = Store()
    speed = writer(store, Fences(NOON))

    speed(frame(NOON - SECOND, NOON), 0)

    assert [bar.start_ns for bar in store.bars] == [NOON]
    assert (speed.written, speed.fenced) == (1, 1)


def test_a_new_fence_is_read_between_two_batches() -> None:
    fences = Fences()
    speed = writer(Store(), fences)
    speed(frame(NOON), 0)
    fences.fence_ns = NOON + SECOND

    speed.attend()

    assert speed.fences == {"XNYS": NOON + SECOND}


def test_a_bar_without_an_eligible_price_is_not_served() -> None:
    store = Store()

    writer(store)(frame(NOON, price=None), 0)

    assert store.bars == []


def test_a_refused_row_stops_the_batch() -> None:
    with pytest.raises(VerificationError, match="batch 7: 1 of 1 1s bars"):
        writer(Store("type conflict"))(frame(NOON), 7)


def test_the_error_of_a_batch_is_kept_for_the_exit_code() -> None:
    refused = ConfigError("older than the bucket keeps")
    speed = writer(Store(refused))

    with pytest.raises(ConfigError):
        speed(frame(NOON), 0)

    assert speed.failure is refused


def test_a_closed_writer_leaves_the_batch_to_the_next_driver() -> None:
    store = Store()
    speed = writer(store)

    assert speed.close(within_s=1)
    with pytest.raises(TransientError, match="left to the next driver"):
        speed(frame(NOON), 3)

    assert store.bars == []


class TestStaleBars:
    """Bars that a frozen driver overwrites when it thaws."""

    unfinished = UnfinishedWrite(3, driver(3), (Span("XNYS", NOON, NOON + SECOND),), batch=0)

    def overwritten(self, store: Store) -> ServedBar:
        """Let an older row arrive over the newest one; return the newest."""
        newest = store.bars[-1]
        store.bars.append(replace(newest, trades=0))
        return newest

    def test_an_overwritten_bar_is_rewritten_under_the_lease(self) -> None:
        store = Store()
        lease = Lease(store)
        speed = writer(store, lease=lease, takeover=Takeover(3, (self.unfinished,)))
        speed(frame(NOON), 0)
        newest = self.overwritten(store)

        speed.attend()

        assert store.bars[-1] == newest
        assert speed.rewritten == 1
        assert lease.checks[-2:] == [((Span("XNYS", NOON, NOON + 1),), 2), ((), 3)]

    def test_a_bar_of_an_earlier_driver_is_restored_as_it_was_at_the_takeover(self) -> None:
        store = Store()
        writer(store)(frame(NOON), 0)
        speed = writer(store, takeover=Takeover(4, (self.unfinished,)))
        speed.take_over()
        newest = self.overwritten(store)

        speed.attend()

        assert store.bars[-1] == newest

    def test_exit_reports_are_deleted_unless_their_bars_must_be_published(self) -> None:
        fences = Fences()
        records = ControlRecords(fences, "trades")  # type: ignore[arg-type]
        late = exit_report(2, epoch=2, late_writes=self.unfinished.spans)
        for report in (exit_report(1, epoch=1, code=0), late, exit_report(4, epoch=4)):
            records.write_exit_report(report)

        writer(Store(), fences, takeover=Takeover(4)).take_over()

        assert records.exit_reports == [late]

    def test_a_batch_that_is_run_again_needs_no_publication(self) -> None:
        fences, store = Fences(), Store()
        records = ControlRecords(fences, "trades")  # type: ignore[arg-type]
        lease = Lease(store)
        speed = writer(store, fences, lease, Takeover(3, (self.unfinished,)))
        speed.rewriter.grace_s = 0.0
        records.write_exit_report(exit_report(3, epoch=3, late_writes=self.unfinished.spans))
        speed.take_over()
        assert [report.epoch for report in records.exit_reports] == [3]

        speed.attend()

        assert records.exit_reports == []
        assert lease.checks[-1] == ({"unfinished_writes": ()}, 0)


def test_the_ordinal_counts_widths_from_the_venues_midnight() -> None:
    venue = VENUES["XNYS"]

    assert sequence(venue, NOON, Resolution.MINUTE) == 12 * 60
    assert sequence(venue, venue.midnight_ns(venue.date_of(NOON)), Resolution.SECOND) == 0
