"""Metrics of the speed layer, as points for the bucket `pipeline`. Reads no bar.

`MetricsWriter` writes them in a thread of its own: a slow InfluxDB must not delay a heartbeat.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Full, Queue

from truetape.host.errors import TruetapeError
from truetape.host.log import logger
from truetape.serving.store import BarStore, Point
from truetape.speed.progress import BatchReport

EVERY_S = 10.0
END_WITHIN_S = 5.0
"""How long the last points may take when the driver stops."""


@dataclass(frozen=True, slots=True)
class BarCounts:
    """How many bars a driver has counted since it began."""

    written: int = 0
    fenced: int = 0
    rewritten: int = 0


def points(
    reports: Sequence[BatchReport],
    counts: tuple[BarCounts, BarCounts],
    lag: int,
    freshness_s: float | None,
    now_ns: int,
    *,
    topic: str,
    watermark: datetime | None,
) -> Iterator[Point]:
    """Yield a point about the batches since the last one, and one about freshness if bars were
    written.

    `reports` are those of these batches, oldest first; there may be none. `counts` are the counts
    of the last point and of now. The field `seconds` is the longest batch. `topic` names the speed
    layer. `watermark` is the latest instant up to which windows are closed.
    """
    before, now = counts
    seconds = [report.seconds for report in reports]
    records = sum(report.records for report in reports)
    yield Point(
        "speed_batch",
        {"query": topic},
        now_ns,
        {
            "batch": reports[-1].number if reports else -1,
            "records": records,
            "late": sum(report.late for report in reports),
            "bars": now.written - before.written,
            "fenced": now.fenced - before.fenced,
            "mended": now.rewritten - before.rewritten,
            "lag": lag,
            "seconds": max(seconds, default=0.0),
            "rows_per_s": records / sum(seconds) if sum(seconds) else 0.0,
        },
    )
    if reports and freshness_s is not None and now.written > before.written:
        closed_ns = 0 if watermark is None else int(watermark.timestamp() * 1e9)
        fields = {"freshness_s": freshness_s, "watermark_ns": closed_ns}
        yield Point("speed_freshness", {"query": topic}, now_ns, fields)


class MetricsWriter:
    """Writes points in a thread of its own; while one write is under way, at most one waits."""

    def __init__(self, store: BarStore) -> None:
        self._store = store
        self._waiting: Queue[list[Point] | None] = Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def offer(self, points: Iterable[Point]) -> bool:
        """Queue points; return False, and log it, if earlier points still wait."""
        try:
            self._waiting.put_nowait(list(points))
        except Full:
            logger("speed").warning("metrics left out", why="InfluxDB has not taken the last ones")
            return False
        return True

    def close(self) -> None:
        """Write what waits and end; end without it after `END_WITHIN_S`."""
        try:
            self._waiting.put(None, timeout=END_WITHIN_S)
        except Full:
            return
        self._thread.join(END_WITHIN_S)

    def _run(self) -> None:
        while (batch := self._waiting.get()) is not None:
            try:
                self._store.write_points(batch).require_stored("metrics")
            except TruetapeError as error:
                logger("speed").warning("metrics not written", error=str(error))
