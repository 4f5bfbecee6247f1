"""The end of the stream: changed bars of a micro-batch go to the bar store, under the lease and
above the fences.

Idempotent: Spark may run a batch again after a crash, and the same rows overwrite themselves.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from truetape.host.errors import TransientError, TruetapeError
from truetape.host.log import logger
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.sessions import Venue
from truetape.serving.store import BAR_NUMBERS, BarStore, ServedBar
from truetape.speed.bar_ranges import Span, spans_of
from truetape.speed.bar_rewrite import Mender
from truetape.speed.control_records import Board
from truetape.speed.heartbeat import Phase
from truetape.speed.takeover import Ended, Succession

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

_HOUR_NS = 3_600_000_000_000


class Held(Protocol):
    """What the writer asks of its lease."""

    def beat(self, **news: Any) -> None:
        """Commit a heartbeat, or raise because the lease is lost."""


@dataclass(slots=True)
class SpeedWriter:
    """A foreachBatch function. Counts what it wrote and what the fence held back.

    `fences` are those that no write of this driver can any longer fall below: they are read anew
    before each batch, and `attend` may raise them only between two batches.
    """

    store: BarStore
    board: Board
    venues: Mapping[str, Venue]
    lease: Held
    succession: Succession
    mender: Mender
    written: int = 0
    fenced: int = 0
    mended: int = 0
    batch: int = -1
    """The newest batch that was written."""
    freshness_s: float | None = None
    fences: Mapping[str, int] = field(default_factory=dict)
    failure: TruetapeError | None = None
    _is_closed: bool = False
    _has_begun: bool = False
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, bars: "DataFrame", batch: int) -> None:
        """Write one micro-batch; VerificationError when the store did not take every row.

        What went wrong is kept in `failure`: Spark hands on an error of Python as text only.
        """
        rows = bars.collect()
        try:
            with self._writing:
                if self._is_closed:
                    raise TransientError(f"batch {batch} is left to the next driver: stopping")
                self._write_open(rows, batch)
        except TruetapeError as error:
            self.failure = error
            raise

    def attend(self) -> None:
        """Between two batches: take new fences, look at bars that a suspect may have touched.

        Does nothing while a batch is being written.
        """
        if not self._writing.acquire(blocking=False):
            return
        try:
            self._read_fences()
            self._mend()
        finally:
            self._writing.release()

    def take_over(self) -> None:
        """Before the first batch: take for right what is served where a suspect may still write,
        and forget the last words that matter no more.
        """
        for span in self.mender.spans:
            for resolution in STREAMED:
                self.mender.note(resolution, self._read(resolution, span))
        feared = {one.epoch for one in self.succession.suspects}
        self._forget(one for one in self.board.ends if one.epoch not in feared)

    def close(self, within_s: float) -> bool:
        """Let the write in progress end and allow no other; False when it did not end in time."""
        ended = self._writing.acquire(timeout=within_s)
        self._is_closed = True
        if ended:
            self._writing.release()
        return ended

    def _write_open(self, rows: "list[Row]", batch: int) -> None:
        if not self._has_begun:
            # from here on a publication waits for this driver to take its fence
            self.lease.beat(state=Phase.RUNNING)
            self._has_begun = True
        fences = self._read_fences()
        open_rows = [row for row in rows if row.start_ns >= fences.get(row.venue, 0)]
        bars = {resolution: self._served(open_rows, resolution) for resolution in STREAMED}
        self._write(bars, batch)
        self.fenced += len(rows) - len(open_rows)
        self.batch = batch

    def _read_fences(self) -> Mapping[str, int]:
        boundaries = self.board.refresh().control.boundaries()
        self.fences = {venue: boundary.fence_ns for venue, boundary in boundaries.items()}
        return self.fences

    def _served(self, rows: "Iterable[Row]", resolution: Resolution) -> list[ServedBar]:
        return [
            provisional(row, resolution, self.venues)
            for row in rows
            if row.resolution == resolution.value
            and None not in (row.open, row.high, row.low, row.close)
        ]

    def _write(self, bars: Mapping[Resolution, list[ServedBar]], batch: int = -1) -> None:
        """Write bars between two checks of the lease; the first one names them.

        LeaseLostError from the second check leaves them named in the lease's `unsettled`.
        """
        spans = spans_of((bar.venue, bar.start_ns) for rows in bars.values() for bar in rows)
        if not spans:
            return
        self.lease.beat(writing=spans, writing_batch=batch)
        for resolution, rows in bars.items():
            self._store(resolution, rows, batch)
        self.lease.beat(writing=(), writing_batch=-1)
        for resolution, rows in bars.items():
            self.mender.note(resolution, rows)

    def _store(self, resolution: Resolution, bars: list[ServedBar], batch: int) -> None:
        if not bars:
            return
        report = self.store.write(resolution, bars)
        acked_ns = time.time_ns()
        self.written += report.stored
        report.require_stored(f"{resolution.value} bars", f"batch {batch}")
        if resolution is Resolution.SECOND:
            self.freshness_s = (acked_ns - max(bar.start_ns for bar in bars)) / 1e9
        logger("speed").info(
            "wrote",
            batch=batch,
            resolution=resolution.value,
            bars=report.stored,
            acked_ns=acked_ns,
        )

    def _mend(self) -> None:
        """Write anew what a suspect has overwritten; forget suspects that can do no more harm."""
        if self.mender.is_due(self.board.ends):
            wrong = self.mender.wrong(self._read, self.fences)
            self._write(wrong)
            self.mended += sum(map(len, wrong.values()))
        gone = self.mender.release(self.fences)
        if gone:
            epochs = {one.epoch for one in gone}
            self._forget(one for one in self.board.ends if one.epoch in epochs)
            self.lease.beat(suspects=self.mender.suspects)

    def _forget(self, words: Iterable[Ended]) -> None:
        for word in list(words):
            if self.succession.is_dealt_with(word):
                self.board.forget(word.epoch)
            else:
                late = [str(span) for span in word.touched]
                logger("speed").error("wrote late; publish", driver=str(word.driver), spans=late)

    def _read(self, resolution: Resolution, span: Span) -> Iterable[ServedBar]:
        return self.store.read(resolution, span.start_ns, span.end_ns, venue=span.venue)


def provisional(row: "Row", resolution: Resolution, venues: Mapping[str, Venue]) -> ServedBar:
    """Turn a row of `stream.provisional_bars` into what is served before publication."""
    return ServedBar.unpublished(
        (row.symbol, row.venue, row.start_ns),
        (getattr(row, name) for name in BAR_NUMBERS),
        trades=row.trades,
        seq=sequence(venues[row.venue], row.start_ns, resolution),
        layer="speed",
    )


def sequence(venue: Venue, start_ns: int, resolution: Resolution) -> int:
    """Return a bar's ordinal in its trading day: how many widths after the venue's midnight."""
    hour = start_ns - start_ns % _HOUR_NS
    return (start_ns - _midnight(venue, hour)) // resolution.width_ns


@lru_cache(maxsize=4_096)
def _midnight(venue: Venue, hour_ns: int) -> int:
    return venue.midnight_ns(venue.date_of(hour_ns))
