"""Writes the bars that a batch changed to the bar store, under the lease and above the fences.

Idempotent: a driver reads the records after the last position again, and the same rows overwrite
themselves.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host.log import logger
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.sessions import Venue
from truetape.serving import bar_table
from truetape.serving.store import BarStore, ServedBar
from truetape.speed.bar_ranges import Span, spans_of
from truetape.speed.control_records import ControlRecords, ExitReport
from truetape.speed.heartbeat import Phase
from truetape.speed.position import SpeedPosition
from truetape.speed.progress import BatchReport
from truetape.speed.provisional_bars import provisional
from truetape.speed.stale_bars import StaleBarRewriter
from truetape.speed.state import SpeedState
from truetape.speed.takeover import Takeover

MAX_REPORTS = 1_000
"""Most batches that wait to be reported, the newest ones."""
FENCES_HOLD_S = 0.25
"""So long a batch relies on the fences that were read before; a publication waits for a heartbeat
that has the new fence, and those are further apart."""


class HeldLease(Protocol):
    """What the writer needs of its lease."""

    def beat(self, **changes: Any) -> None:
        """Commit a heartbeat, or raise because the lease is lost."""


@dataclass(slots=True)
class SpeedWriter:
    """Merges and writes batch after batch. Counts what it wrote and what the fence held back.

    No write of this driver falls below `fences`. Batches read them at least every `FENCES_HOLD_S`;
    `attend` raises them only between two batches.
    """

    store: BarStore
    records: ControlRecords
    venues: Mapping[str, Venue]
    lease: HeldLease
    takeover: Takeover
    rewriter: StaleBarRewriter
    state: SpeedState
    now_s: Callable[[], float] = time.monotonic
    position: SpeedPosition = field(init=False)
    """The position after the newest batch whose write was confirmed."""
    written: int = 0
    fenced: int = 0
    rewritten: int = 0
    batch_end_ns: int = 0
    reports: deque[BatchReport] = field(default_factory=lambda: deque(maxlen=MAX_REPORTS))
    freshness_s: float | None = None
    fences: Mapping[str, int] = field(default_factory=dict)
    failure: Exception | None = None
    _fences_read_s: float = -math.inf
    _acked_ns: int = 0
    _is_closed: bool = False
    _has_begun: bool = False
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.position = self.state.position()

    def __call__(self, read: Callable[[], pa.Table]) -> None:
        """Read, merge and write one batch. `read` returns `speed.counting.COUNTED`.

        Raise VerificationError if the store did not take every row. `failure` keeps any error:
        Spark passes an error of Python on as text only.
        """
        began_s = time.monotonic()
        try:
            counted = read()
            with self._writing:
                if not self._is_closed:  # else the batch is left to the next driver
                    self._write_batch(counted, began_s)
        except Exception as error:
            self.failure = error
            raise

    def attend(self) -> None:
        """Between two batches: read the fences, and rewrite stale bars if that is due.

        Does nothing while a batch is being written.
        """
        if not self._writing.acquire(blocking=False):
            return
        try:
            self._read_fences()
            self._rewrite_stale_bars()
        finally:
            self._writing.release()

    def take_over(self) -> None:
        """Before the first batch: remember what is served wherever a late write may arrive, and
        delete the exit reports that nobody needs any more.
        """
        for span in self.rewriter.spans:
            for resolution in STREAMED:
                self.rewriter.remember(resolution, self._read(resolution, span))
        watched = {write.epoch for write in self.takeover.unfinished}
        self._delete_exit_reports(
            report for report in self.records.exit_reports if report.epoch not in watched
        )

    def close(self, within_s: float) -> bool:
        """Wait for the write in progress and allow no other; False if it did not end in time."""
        ended = self._writing.acquire(timeout=within_s)
        self._is_closed = True
        if ended:
            self._writing.release()
        return ended

    def _write_batch(self, counted: pa.Table, began_s: float) -> None:
        if not self._has_begun:
            # from here on a publication waits until this driver obeys its fence
            self.lease.beat(state=Phase.RUNNING)
            self._has_begun = True
            self._fences_read_s = -math.inf  # a fence that was raised before waited for nobody
        records, late = self.state.records, self.state.late
        changed = self.state.add(counted)
        rows = self._above_fences(changed)
        bars = {
            resolution: provisional(_of(resolution, rows), resolution, self.venues)
            for resolution in STREAMED
        }
        position = self.state.position()
        self._write(bars, position.batch, position=position)
        self.position = position
        offsets = ",".join(f"{part}:{offset}" for part, offset in position.offsets.items())
        logger("speed").info(
            "served",
            batch=position.batch,
            bars=rows.num_rows,
            acked_ns=self._acked_ns,
            offsets=offsets,
        )
        self.fenced += changed.num_rows - rows.num_rows
        self.batch_end_ns = time.time_ns()
        self.reports.append(
            BatchReport(
                position.batch,
                self.batch_end_ns,
                time.monotonic() - began_s,
                self.state.records - records,
                self.state.late - late,
                rows.num_rows,
            )
        )

    def _above_fences(self, bars: pa.Table) -> pa.Table:
        """Return the bars that start at or above the fence of their venue."""
        if self.now_s() - self._fences_read_s > FENCES_HOLD_S:
            self._read_fences()
        for venue, fence_ns in self.fences.items():
            is_of_venue = pc.equal(bars["venue"], venue)
            is_below = pc.and_(is_of_venue, pc.less(bars["start_ns"], fence_ns))
            bars = bars.filter(pc.invert(is_below))
        return bars

    def _read_fences(self) -> None:
        read_s = self.now_s()
        boundaries = self.records.refresh().control.boundaries()
        self.fences = {venue: boundary.fence_ns for venue, boundary in boundaries.items()}
        self._fences_read_s = read_s

    def _write(
        self, bars: Mapping[Resolution, pa.Table], batch: int = -1, **confirmed: Any
    ) -> None:
        """Write bars between two checks of the lease; the first check names the bars, the second
        commits what they confirm.

        If the second check raises LeaseLostError, the lease's `unconfirmed` still names them.
        """
        spans = spans_of(bound for rows in bars.values() for bound in _bounds(rows))
        if not spans:
            return
        self.lease.beat(writing=spans, writing_batch=batch)
        for resolution, rows in bars.items():
            self._store(resolution, rows, batch)
        self.lease.beat(writing=(), writing_batch=-1, **confirmed)
        for resolution, rows in bars.items():
            self.rewriter.remember(resolution, bar_table.bars_of(rows))

    def _store(self, resolution: Resolution, bars: pa.Table, batch: int) -> None:
        if not bars.num_rows:
            return
        report = self.store.write_table(resolution, bars)
        acked_ns = time.time_ns()
        self.written += report.stored
        report.require_stored(f"{resolution.value} bars", f"batch {batch}")
        if resolution is Resolution.SECOND:
            self.freshness_s = (acked_ns - pc.max(bars["start_ns"]).as_py()) / 1e9
        self._acked_ns = acked_ns

    def _rewrite_stale_bars(self) -> None:
        """Write again what a late write has overwritten; stop watching harmless writes."""
        if self.rewriter.is_due(self.records.exit_reports):
            stale = self.rewriter.stale(self._read, self.fences)
            self._write({width: bar_table.table_of(bars) for width, bars in stale.items()})
            self.rewritten += sum(map(len, stale.values()))
        harmless = self.rewriter.release(self.fences)
        if harmless:
            epochs = {write.epoch for write in harmless}
            self._delete_exit_reports(
                report for report in self.records.exit_reports if report.epoch in epochs
            )
            self.lease.beat(unfinished_writes=self.rewriter.unfinished)

    def _delete_exit_reports(self, reports: Iterable[ExitReport]) -> None:
        for report in list(reports):
            if self.takeover.may_delete(report):
                self.records.delete_exit_report(report.epoch)
            else:
                late = [str(span) for span in report.late_writes]
                logger("speed").error("wrote late; publish", driver=str(report.driver), spans=late)

    def _read(self, resolution: Resolution, span: Span) -> Iterable[ServedBar]:
        return self.store.read(resolution, span.start_ns, span.end_ns, venue=span.venue)


def _of(resolution: Resolution, bars: pa.Table) -> pa.Table:
    # a mask: filtering few rows by an expression starts a plan that costs four times as much
    return bars.filter(pc.equal(bars["resolution"], resolution.value))


def _bounds(bars: pa.Table) -> Iterator[tuple[str, int]]:
    """Yield each venue with its first start, and with its last one."""
    for venue in pc.unique(bars["venue"]).to_pylist():
        starts = bars["start_ns"].filter(pc.equal(bars["venue"], venue))
        for bound in pc.min_max(starts).as_py().values():
            yield venue, bound
