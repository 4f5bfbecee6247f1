"""The writer: which bars it writes and when, which it skips, what a failure leaves behind."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from support.build import NOON, SECOND, VENUES
from support.counted import NO_PRICE, counted
from support.race import Control
from support.speed import driver, exit_report
from truetape.broker.boundary import Boundary
from truetape.host.errors import ConfigError, LeaseLostError, TransientError, VerificationError
from truetape.market.resolution import Resolution
from truetape.serving.bar_table import bars_of
from truetape.serving.store import DeadLine, ServedBar, WriteReport
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.driver import Life
from truetape.speed.heartbeat import Phase, UnfinishedWrite
from truetape.speed.position import PartitionPosition, SpeedPosition
from truetape.speed.stale_bars import StaleBarRewriter
from truetape.speed.state import SpeedState
from truetape.speed.takeover import Takeover
from truetape.speed.writer import SpeedWriter


class Fences(Control):
    """The control topic as the writer sees it."""

    def __init__(self, fence_ns: int = 0) -> None:
        super().__init__()
        self.fence_ns = fence_ns

    def boundaries(self) -> dict[str, Boundary]:
        return {"XNYS": Boundary("XNYS", self.fence_ns)} if self.fence_ns else {}


class Store:
    """Takes bars, or fails with the given outcome. `bars` are those of one second."""

    def __init__(self, outcome: Exception | str | None = None) -> None:
        self.outcome = outcome
        self.bars: list[ServedBar] = []
        self.minutes: list[ServedBar] = []

    def write_table(self, resolution: Resolution, bars: pa.Table) -> WriteReport:
        rows = list(bars_of(bars))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, str):
            return WriteReport(len(rows), len(rows) - 1, (DeadLine("bar", self.outcome),))
        (self.bars if resolution is Resolution.SECOND else self.minutes).extend(rows)
        return WriteReport(len(rows), len(rows))

    def read(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str
    ) -> list[ServedBar]:
        rows = self.bars if resolution is Resolution.SECOND else self.minutes
        return list({bar.key: bar for bar in rows}.values())


class Lease:
    """Records each check with the number of bars stored by then; fails from `lost_from` on."""

    def __init__(self, store: Store, lost_from: int | None = None) -> None:
        self.store = store
        self.lost_from = lost_from
        self.checks: list[tuple[object, int]] = []
        self.states: list[Phase] = []
        self.positions: list[SpeedPosition] = []

    def beat(self, **changes: Any) -> None:
        if "state" in changes:
            self.states.append(changes["state"])
            return
        if self.lost_from is not None and len(self.checks) >= self.lost_from:
            raise LeaseLostError("fenced")
        self.checks.append((changes.get("writing", changes), len(self.store.bars)))
        if "position" in changes:
            self.positions.append(changes["position"])


FIRST_DRIVER = Takeover()
NO_POSITION = SpeedPosition()


def batch(speed: SpeedWriter, *starts_ns: int, conditions: Iterable[str] = ()) -> None:
    """Hand the writer a batch: the next records of partition 0, one trade at each time."""
    offset = speed.position.offsets.get("0", 0)
    speed(lambda: counted(*starts_ns, offset=offset, conditions=conditions))


def writer(
    store: Store,
    fences: Control | None = None,
    lease: Lease | None = None,
    takeover: Takeover = FIRST_DRIVER,
    start: SpeedPosition = NO_POSITION,
) -> SpeedWriter:
    return SpeedWriter(
        store,  # type: ignore[arg-type]
        ControlRecords(fences or Fences(), "trades"),  # type: ignore[arg-type]
        VENUES,
        lease or Lease(store),
        takeover,
        StaleBarRewriter(takeover.unfinished, 10.0, lambda _: Life.ALIVE),
        SpeedState(start),
    )


def test_bars_are_served_as_provisional() -> None:
    store = Store()

    batch(writer(store), NOON)

    (bar,) = store.bars
    assert (bar.layer, bar.final, bar.rev, bar.void) == ("speed", False, 0, False)
    assert (bar.start_ns, bar.close, bar.trades, bar.seq) == (NOON, 100.0, 1, 12 * 3_600)


def test_the_lease_is_checked_before_and_after_a_write_and_names_its_bars() -> None:
    store = Store()
    lease = Lease(store)

    batch(writer(store, lease=lease), NOON, NOON + 3 * SECOND)

    span = Span("XNYS", NOON, NOON + 3 * SECOND + 1)
    assert lease.checks == [((span,), 0), ((), 2)]


def test_without_the_lease_nothing_is_written() -> None:
    store = Store()
    speed = writer(store, lease=Lease(store, lost_from=0))

    with pytest.raises(LeaseLostError):
        batch(speed, NOON)

    assert store.bars == []
    assert isinstance(speed.failure, LeaseLostError)


def test_a_lease_lost_while_writing_fails_the_batch() -> None:
    """The position stays before it, and the heartbeat that names its bars stays the newest."""
    store = Store()
    lease = Lease(store, lost_from=1)
    speed = writer(store, lease=lease)

    with pytest.raises(LeaseLostError):
        batch(speed, NOON)

    assert len(store.bars) == 1
    assert (speed.position, lease.positions) == (SpeedPosition(), [])


def test_a_driver_reports_that_it_runs_before_it_first_reads_the_fences() -> None:
    """A publication waits only for drivers that run: no fence may be raised in between."""
    store, fences = Store(), Fences(NOON)
    lease = Lease(store)
    reports: list[int] = []
    fences.boundaries = lambda: (reports.append(len(lease.states)), {})[1]  # type: ignore[method-assign]
    speed = writer(store, fences, lease)

    speed.attend()
    batch(speed, NOON)
    batch(speed, NOON + SECOND)

    assert reports == [0, 1]
    assert lease.states == [Phase.RUNNING]


def test_a_batch_reads_the_fences_that_have_held_for_a_while() -> None:
    store, fences, clock = Store(), Fences(), iter([0.0, 0.0, 0.1, 0.3, 0.3])
    speed = writer(store, fences)
    speed.now_s = lambda: next(clock)

    batch(speed, NOON)
    fences.fence_ns = NOON + 5 * SECOND
    batch(speed, NOON + SECOND)
    batch(speed, NOON + 2 * SECOND)

    assert [bar.start_ns for bar in store.bars] == [NOON, NOON + SECOND]
    assert speed.fences == {"XNYS": NOON + 5 * SECOND}


def test_a_batch_without_bars_does_not_check_the_lease() -> None:
    store = Store()
    lease = Lease(store)

    batch(writer(store, lease=lease), NOON, conditions=NO_PRICE)

    assert lease.checks == []


def test_the_check_after_a_write_commits_the_position_that_it_confirms() -> None:
    store = Store()
    lease = Lease(store)
    speed = writer(store, lease=lease)

    batch(speed, NOON, NOON + SECOND)
    batch(speed, NOON + 2 * SECOND)

    assert [(each.batch, each.offsets) for each in lease.positions] == [
        (0, {"0": 2}),
        (1, {"0": 3}),
    ]
    assert speed.position == lease.positions[-1]


def test_a_batch_without_bars_moves_the_position_that_the_next_heartbeat_has() -> None:
    speed = writer(Store())

    batch(speed, NOON, conditions=NO_PRICE)

    assert (speed.position.batch, speed.position.offsets) == (0, {"0": 1})


def test_records_that_a_driver_before_has_served_are_read_and_not_written() -> None:
    """It began at the horizon, two records before the position."""
    place = PartitionPosition(offset=2, closed_ns=0, horizon=0, horizon_closed_ns=NOTHING_CLOSED)
    store = Store()
    lease = Lease(store)
    speed = writer(store, lease=lease, start=SpeedPosition(6, {"0": place}))

    speed(lambda: counted(NOON))
    assert (store.bars, lease.checks, speed.position.batch) == ([], [], 6)
    speed(lambda: counted(NOON, NOON + SECOND, offset=1))

    assert {bar.start_ns: bar.trades for bar in store.bars} == {NOON: 2, NOON + SECOND: 1}
    assert (speed.position.batch, speed.position.offsets) == (7, {"0": 3})


def test_a_batch_that_cannot_be_read_moves_nothing() -> None:
    away = TransientError("Kafka is away")
    speed = writer(Store())

    def read() -> Any:
        raise away

    with pytest.raises(TransientError):
        speed(read)

    assert (speed.failure, speed.position) == (away, SpeedPosition())


def test_a_bar_below_the_fence_is_skipped_and_counted() -> None:
    store = Store()
    speed = writer(store, Fences(NOON))

    batch(speed, NOON - SECOND, NOON)

    assert [bar.start_ns for bar in store.bars] == [NOON]
    assert (speed.written, speed.fenced) == (2, 2), "a second and a minute each"


def test_a_new_fence_is_read_between_two_batches() -> None:
    fences = Fences()
    speed = writer(Store(), fences)
    batch(speed, NOON)
    fences.fence_ns = NOON + SECOND

    speed.attend()

    assert speed.fences == {"XNYS": NOON + SECOND}


def test_a_bar_without_an_eligible_price_is_not_served() -> None:
    store = Store()

    batch(writer(store), NOON, conditions=NO_PRICE)

    assert store.bars == []


def test_a_refused_row_stops_the_batch() -> None:
    with pytest.raises(VerificationError, match="batch 7: 1 of 1 1s bars"):
        batch(writer(Store("type conflict"), start=SpeedPosition(6)), NOON)


def test_the_error_of_a_batch_is_kept_for_the_exit_code() -> None:
    refused = ConfigError("older than the bucket keeps")
    speed = writer(Store(refused))

    with pytest.raises(ConfigError):
        batch(speed, NOON)

    assert speed.failure is refused


def test_a_closed_writer_leaves_the_batch_to_the_next_driver() -> None:
    store = Store()
    speed = writer(store)

    assert speed.close(within_s=1)
    batch(speed, NOON)

    assert store.bars == []
    assert speed.position.batch == -1


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
        batch(speed, NOON)
        newest = self.overwritten(store)

        speed.attend()

        assert store.bars[-1] == newest
        assert speed.rewritten == 1
        assert lease.checks[-2:] == [((Span("XNYS", NOON, NOON + 1),), 2), ((), 3)]

    def test_a_bar_of_an_earlier_driver_is_restored_as_it_was_at_the_takeover(self) -> None:
        store = Store()
        batch(writer(store), NOON)
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
