"""Writes the bars that a batch changed to the bar store, under the lease and above the fences.

Idempotent: a driver reads the records after the last position again, and the same rows overwrite
themselves.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from truetape.host.log import logger
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.sessions import Venue
from truetape.serving.store import BAR_NUMBERS, BarStore, ServedBar
from truetape.speed.bar_ranges import Span, spans_of
from truetape.speed.control_records import ControlRecords, ExitReport
from truetape.speed.heartbeat import Phase
from truetape.speed.position import SpeedPosition
from truetape.speed.progress import BatchReport
from truetape.speed.stale_bars import StaleBarRewriter
from truetape.speed.state import SpeedState
from truetape.speed.takeover import Takeover

_HOUR_NS = 3_600_000_000_000
MAX_REPORTS = 1_000
"""Most batches that wait to be reported, the newest ones."""


class HeldLease(Protocol):
    """What the writer needs of its lease."""

    def beat(self, **changes: Any) -> None:
        """Commit a heartbeat, or raise because the lease is lost."""


@dataclass(slots=True)
class SpeedWriter:
    """Merges and writes batch after batch. Counts what it wrote and what the fence held back.

    No write of this driver falls below `fences`. Each batch reads them first; `attend` raises them
    only between two batches.
    """

    store: BarStore
    records: ControlRecords
    venues: Mapping[str, Venue]
    lease: HeldLease
    takeover: Takeover
    rewriter: StaleBarRewriter
    state: SpeedState
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
        records, late = self.state.records, self.state.late
        changed = self.state.add(counted)
        rows = self._above_fences(changed)
        bars = {resolution: self._served(rows, resolution) for resolution in STREAMED}
        position = self.state.position()
        self._write(bars, position.batch, position=position)
        self.position = position
        offsets = ",".join(f"{part}:{offset}" for part, offset in position.offsets.items())
        logger("speed").info(
            "served",
            batch=position.batch,
            bars=sum(map(len, bars.values())),
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
        kept = pc.scalar(True)
        for venue, fence_ns in self._read_fences().items():
            kept &= (pc.field("venue") != venue) | (pc.field("start_ns") >= fence_ns)
        return bars.filter(kept)

    def _read_fences(self) -> Mapping[str, int]:
        boundaries = self.records.refresh().control.boundaries()
        self.fences = {venue: boundary.fence_ns for venue, boundary in boundaries.items()}
        return self.fences

    def _served(self, rows: pa.Table, resolution: Resolution) -> list[ServedBar]:
        own = rows.filter(pc.field("resolution") == resolution.value)
        return [provisional(row, resolution, self.venues) for row in own.to_pylist()]

    def _write(
        self, bars: Mapping[Resolution, list[ServedBar]], batch: int = -1, **confirmed: Any
    ) -> None:
        """Write bars between two checks of the lease; the first check names the bars, the second
        commits what they confirm.

        If the second check raises LeaseLostError, the lease's `unconfirmed` still names them.
        """
        spans = spans_of((bar.venue, bar.start_ns) for rows in bars.values() for bar in rows)
        if not spans:
            return
        self.lease.beat(writing=spans, writing_batch=batch)
        for resolution, rows in bars.items():
            self._store(resolution, rows, batch)
        self.lease.beat(writing=(), writing_batch=-1, **confirmed)
        for resolution, rows in bars.items():
            self.rewriter.remember(resolution, rows)

    def _store(self, resolution: Resolution, bars: list[ServedBar], batch: int) -> None:
        if not bars:
            return
        report = self.store.write(resolution, bars)
        acked_ns = time.time_ns()
        self.written += report.stored
        report.require_stored(f"{resolution.value} bars", f"batch {batch}")
        if resolution is Resolution.SECOND:
            self.freshness_s = (acked_ns - max(bar.start_ns for bar in bars)) / 1e9
        self._acked_ns = acked_ns

    def _rewrite_stale_bars(self) -> None:
        """Write again what a late write has overwritten; stop watching harmless writes."""
        if self.rewriter.is_due(self.records.exit_reports):
            stale = self.rewriter.stale(self._read, self.fences)
            self._write(stale)
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


def provisional(
    row: Mapping[str, Any], resolution: Resolution, venues: Mapping[str, Venue]
) -> ServedBar:
    """Turn a row of `speed.state.CHANGED` into what is served before publication."""
    return ServedBar.unpublished(
        (row["symbol"], row["venue"], row["start_ns"]),
        (row[name] for name in BAR_NUMBERS),
        trades=row["trades"],
        seq=sequence(venues[row["venue"]], row["start_ns"], resolution),
        layer="speed",
    )


def sequence(venue: Venue, start_ns: int, resolution: Resolution) -> int:
    """Return a bar's ordinal in its trading day: how many widths after the venue's midnight."""
    hour = start_ns - start_ns % _HOUR_NS
    return (start_ns - _midnight(venue, hour)) // resolution.width_ns


@lru_cache(maxsize=4_096)
def _midnight(venue: Venue, hour_ns: int) -> int:
    return venue.midnight_ns(venue.date_of(hour_ns))
