"""Metrics of the speed layer as points, and a writer that delays nobody."""

import threading

from support.build import NOON
from truetape.host.errors import TransientError
from truetape.serving.schema import PIPELINE
from truetape.serving.store import Point, WriteReport
from truetape.speed.metrics import BarCounts, MetricsWriter, points

WAIT_S = 10


def report(batch: int, rows: int, took_ms: int, late: int = 0) -> dict[str, object]:
    """The fields of Spark 4.2's report of a batch that are read."""
    return {
        "batchId": batch,
        "timestamp": "2026-11-20T17:00:00.000Z",
        "numInputRows": rows,
        "durationMs": {"triggerExecution": took_ms, "addBatch": 1},
        "stateOperators": [
            {"numRowsDroppedByWatermark": late},
            {"numRowsDroppedByWatermark": 0},
        ],
        "eventTime": {"watermark": "2026-11-20T17:00:00.500Z"},
    }


def test_the_batches_since_the_last_point_form_one_point() -> None:
    reports = [report(7, 3_000, 500, late=2), report(8, 1_000, 1_500)]
    counts = (BarCounts(10, 1, 0), BarCounts(50, 4, 2))

    batch, freshness = points(reports, counts, 12, 0.75, NOON, topic="trades")

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
    # 2026-11-20T17:00:00Z, whole seconds
    assert freshness.fields == {"freshness_s": 0.75, "watermark_ns": 1_795_194_000_000_000_000}
    assert batch.tags == freshness.tags == {"query": "trades"}
    for point in (batch, freshness):
        pinned = PIPELINE[point.measurement]
        assert (set(pinned.tags), set(pinned.fields)) == (set(point.tags), set(point.fields))


def test_a_layer_without_input_reports_its_lag_and_no_freshness() -> None:
    """An old freshness would look like a new one."""
    [batch] = points([], (BarCounts(50), BarCounts(50)), 0, 0.75, NOON, topic="trades")

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


def test_a_slow_store_delays_nobody_and_a_failing_store_ends_nothing() -> None:
    store = Slow()
    metrics = MetricsWriter(store)  # type: ignore[arg-type]
    first, second, third, fourth = (
        list(
            points(
                [report(number, 1, 1)], (BarCounts(), BarCounts(1)), 0, 0.5, NOON, topic="trades"
            )
        )
        for number in range(4)
    )

    assert metrics.offer(first)
    assert store.begun.wait(WAIT_S)
    assert metrics.offer(second)
    assert not metrics.offer(third), "one write under way, one waiting: no more"
    store.leave.set()
    assert store.failed.wait(WAIT_S)
    assert metrics.offer(fourth)
    metrics.close()

    assert store.taken == [first, [], fourth]
