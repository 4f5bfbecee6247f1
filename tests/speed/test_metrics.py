"""Metrics of the speed layer as points, and a writer that delays nobody."""

import threading
from datetime import UTC, datetime

from support.build import NOON
from truetape.host.errors import TransientError
from truetape.serving.schema import PIPELINE
from truetape.serving.store import Point, WriteReport
from truetape.speed.metrics import BarCounts, MetricsWriter, points
from truetape.speed.progress import BatchReport

WAIT_S = 10
WATERMARK = datetime(2026, 11, 20, 17, 0, 0, 500_000, UTC)


def report(batch: int, rows: int, took_ms: int, late: int = 0) -> BatchReport:
    """A batch of so many records."""
    return BatchReport(batch, NOON, took_ms / 1_000, rows, late, bars=10)


def test_the_batches_since_the_last_point_form_one_point() -> None:
    reports = [report(7, 3_000, 500, late=2), report(8, 1_000, 1_500)]
    counts = (BarCounts(10, 1, 0), BarCounts(50, 4, 2))

    batch, freshness = points(reports, counts, 12, 0.75, NOON, topic="trades", watermark=WATERMARK)

    assert batch.fields == {
        "batch": 8,
        "records": 4_000,
        "late": 2,
        "bars": 40,
        "fenced": 3,
        "mended": 2,
        "lag": 12,
        "seconds": 1.5,
        "rows_per_s": 2_000.0,
    }
    # 2026-11-20T17:00:00.5Z
    assert freshness.fields == {"freshness_s": 0.75, "watermark_ns": 1_795_194_000_500_000_000}
    assert batch.tags == freshness.tags == {"query": "trades"}
    for point in (batch, freshness):
        pinned = PIPELINE[point.measurement]
        assert (set(pinned.tags), set(pinned.fields)) == (set(point.tags), set(point.fields))


def test_a_layer_without_input_reports_its_lag_and_no_freshness() -> None:
    """An old freshness would look like a new one."""
    counts = (BarCounts(50), BarCounts(50))

    [batch] = points([], counts, 0, 0.75, NOON, topic="trades", watermark=WATERMARK)

    assert (batch.fields["records"], batch.fields["lag"], batch.fields["batch"]) == (0, 0, -1)
    assert (batch.fields["seconds"], batch.fields["rows_per_s"]) == (0.0, 0.0)


class Slow:
    """A store whose first write waits for `leave`, and whose second write fails."""

    def __init__(self) -> None:
        self.leave, self.begun, self.failed = (threading.Event() for _ in range(3))
        self.taken: list[list[Point]] = []

    def write_points(self, points: list[Point]) -> WriteReport:
        self.begun.set()
        assert self.leave.wait(WAIT_S)
        if len(self.taken) == 1:
            self.taken.append([])
            self.failed.set()
            raise TransientError("InfluxDB is away")
        self.taken.append(points)
        return WriteReport(len(points), len(points))


def made_points(number: int) -> list[Point]:
    reports, counts = [report(number, 1, 1)], (BarCounts(), BarCounts(1))
    return list(points(reports, counts, 0, 0.5, NOON, topic="trades", watermark=None))


def test_before_a_window_is_closed_there_is_no_watermark() -> None:
    _, freshness = made_points(0)

    assert freshness.fields["watermark_ns"] == 0


def test_a_slow_store_delays_nobody_and_a_failing_store_ends_nothing() -> None:
    store = Slow()
    metrics = MetricsWriter(store)  # type: ignore[arg-type]
    first, second, third, fourth = (made_points(number) for number in range(4))

    assert metrics.offer(first)
    assert store.begun.wait(WAIT_S)
    assert metrics.offer(second)
    assert not metrics.offer(third), "one write under way, one waiting: no more"
    store.leave.set()
    assert store.failed.wait(WAIT_S)
    assert metrics.offer(fourth)
    metrics.close()

    assert store.taken == [first, [], fourth]
