"""The end of the stream: changed bars of a micro-batch go to the bar store, guarded by the
boundary.

Idempotent: Spark may run a batch again after a crash, and the same rows overwrite themselves.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from truetape.errors import TruetapeError, VerificationError
from truetape.log import logger
from truetape.market.resolution import Resolution
from truetape.market.sessions import Venue
from truetape.reconcile.control import ControlTopic
from truetape.serving.store import BarStore, ServedBar

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

_HOUR_NS = 3_600_000_000_000


@dataclass(slots=True)
class SpeedWriter:
    """A foreachBatch function. Counts what it wrote and what the fence held back.

    `fences` are those that no write of this driver can any longer fall below: they are read anew
    before each batch, and `keep_to_fences` may raise them only between two batches.
    """

    store: BarStore
    control: ControlTopic
    venues: Mapping[str, Venue]
    written: int = 0
    fenced: int = 0
    fences: Mapping[str, int] = field(default_factory=dict)
    failure: TruetapeError | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, bars: "DataFrame", batch: int) -> None:
        """Write one micro-batch; VerificationError when the store did not take every row.

        What went wrong is kept in `failure`: Spark hands on an error of Python as text only.
        """
        rows = bars.collect()
        try:
            with self._writing:
                self._write_open(rows, batch)
        except TruetapeError as error:
            self.failure = error
            raise

    def _write_open(self, rows: "list[Row]", batch: int) -> None:
        fences = self._read_fences()
        open_rows = [row for row in rows if row.start_ns >= fences.get(row.venue, 0)]
        for resolution in (Resolution.SECOND, Resolution.MINUTE):
            self._write(resolution, self._served(open_rows, resolution), batch)
        self.fenced += len(rows) - len(open_rows)

    def keep_to_fences(self) -> None:
        """Take new fences while no batch is being written, as in a quiet market."""
        with self._writing:
            self._read_fences()

    def _read_fences(self) -> Mapping[str, int]:
        boundaries = self.control.refresh().boundaries()
        self.fences = {venue: boundary.fence_ns for venue, boundary in boundaries.items()}
        return self.fences

    def _served(self, rows: "Iterable[Row]", resolution: Resolution) -> list[ServedBar]:
        return [
            provisional(row, resolution, self.venues)
            for row in rows
            if row.resolution == resolution.value
            and None not in (row.open, row.high, row.low, row.close)
        ]

    def _write(self, resolution: Resolution, bars: list[ServedBar], batch: int) -> None:
        if not bars:
            return
        report = self.store.write(resolution, bars)
        acked_ns = time.time_ns()
        self.written += report.stored
        if report.rejected:
            first = report.rejected[0]
            raise VerificationError(
                f"batch {batch}: {len(report.rejected)} of {report.sent} {resolution.value} bars "
                f"were refused, first {first.reason}: {first.line}"
            )
        logger("speed").info(
            "wrote",
            batch=batch,
            resolution=resolution.value,
            bars=report.stored,
            acked_ns=acked_ns,
        )


def provisional(row: "Row", resolution: Resolution, venues: Mapping[str, Venue]) -> ServedBar:
    """Turn a row of `stream.provisional_bars` into what is served before publication."""
    return ServedBar(
        symbol=row.symbol,
        venue=row.venue,
        start_ns=row.start_ns,
        open=float(row.open),
        high=float(row.high),
        low=float(row.low),
        close=float(row.close),
        volume=float(row.volume),
        vwap=0.0 if row.vwap is None else float(row.vwap),
        trades=row.trades,
        rev=0,
        seq=sequence(venues[row.venue], row.start_ns, resolution),
        layer="speed",
        final=False,
        void=False,
    )


def sequence(venue: Venue, start_ns: int, resolution: Resolution) -> int:
    """Return a bar's ordinal in its trading day: how many widths after the venue's midnight."""
    hour = start_ns - start_ns % _HOUR_NS
    return (start_ns - _midnight(venue, hour)) // resolution.width_ns


@lru_cache(maxsize=4_096)
def _midnight(venue: Venue, hour_ns: int) -> int:
    return venue.midnight_ns(venue.date_of(hour_ns))
