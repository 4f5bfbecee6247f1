"""What the speed layer did of late, as points for the bucket `pipeline`.

`Teller` writes them beside the driver: an InfluxDB that is slow must not hold up its heartbeat.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Full, Queue
from typing import Any

from truetape.host.errors import TruetapeError
from truetape.host.log import logger
from truetape.serving.store import BarStore, Point

EVERY_S = 10.0
END_WITHIN_S = 5.0
"""How long the last points may take when the driver stops."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a driver has counted since it began."""

    written: int = 0
    fenced: int = 0
    mended: int = 0


def points(
    reports: Sequence[Mapping[str, Any]],
    counts: tuple[Counts, Counts],
    lag: int,
    freshness_s: float | None,
    now_ns: int,
    *,
    topic: str,
) -> Iterator[Point]:
    """Yield a point about the batches since the last one, and one about freshness where bars were
    written.

    `reports` are what Spark said of these batches, oldest first; there may be none. `counts` are
    those of the last point and of now. `seconds` is the longest of the batches. `topic` tells
    speed layers apart.
    """
    before, now = counts
    seconds = [_took_s(one) for one in reports]
    records = sum(int(one.get("numInputRows") or 0) for one in reports)
    yield Point(
        "speed_batch",
        {"query": topic},
        now_ns,
        {
            "batch": int(reports[-1]["batchId"]) if reports else -1,
            "records": records,
            "late": sum(map(_late, reports)),
            "bars": now.written - before.written,
            "fenced": now.fenced - before.fenced,
            "mended": now.mended - before.mended,
            "lag": lag,
            "seconds": max(seconds, default=0.0),
            "rows_per_s": records / sum(seconds) if sum(seconds) else 0.0,
        },
    )
    if reports and freshness_s is not None and now.written > before.written:
        fields = {"freshness_s": freshness_s, "watermark_ns": _watermark_ns(reports[-1])}
        yield Point("speed_freshness", {"query": topic}, now_ns, fields)


class Teller:
    """Writes points in a thread of its own; while one write is under way, at most one waits."""

    def __init__(self, store: BarStore) -> None:
        self._store = store
        self._waiting: Queue[list[Point] | None] = Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def tell(self, some: Iterable[Point]) -> bool:
        """Hand points over; False, with a line in the log, where earlier ones still wait."""
        try:
            self._waiting.put_nowait(list(some))
        except Full:
            logger("speed").warning("metrics left out", why="InfluxDB has not taken the last ones")
            return False
        return True

    def close(self) -> None:
        """Write what waits and end; after a while, end without."""
        try:
            self._waiting.put(None, timeout=END_WITHIN_S)
        except Full:
            return
        self._thread.join(END_WITHIN_S)

    def _run(self) -> None:
        while (some := self._waiting.get()) is not None:
            try:
                self._store.write_points(some).require_stored("metrics")
            except TruetapeError as error:
                logger("speed").warning("metrics not written", error=str(error))


def _took_s(report: Mapping[str, Any]) -> float:
    return float((report.get("durationMs") or {}).get("triggerExecution", 0)) / 1_000


def _late(report: Mapping[str, Any]) -> int:
    """Rows that came behind the watermark: Spark counts them after it has joined some."""
    states = report.get("stateOperators") or []
    return sum(int(one.get("numRowsDroppedByWatermark") or 0) for one in states)


def _watermark_ns(report: Mapping[str, Any]) -> int:
    text = str((report.get("eventTime") or {}).get("watermark", "1970-01-01T00:00:00+00:00"))
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
