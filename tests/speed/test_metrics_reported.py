"""A real driver writes its metrics to the bucket `pipeline`."""

from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from support.loop import own_settings, send
from support.wait import until
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, Point
from truetape.tour.speed_process import SpeedProcess

pytestmark = pytest.mark.real

READ_WITHIN_S = 180.0
PLAN = SimulationPlan(
    date(2026, 3, 5), venue="XNYS", seed=3, trades=500, offset_s=600, duration_s=60
)


def points_of(store: BarStore, measurement: str, topic: str) -> list[Point]:
    points = store.read_points(measurement, 0, 2**62)
    return sorted(
        (point for point in points if point.tags["query"] == topic), key=lambda point: point.time_ns
    )


@pytest.mark.parametrize(
    "engine", [pytest.param("spark", marks=pytest.mark.spark), pytest.param("direct")]
)
def test_a_driver_counts_each_record_once_and_reports_how_fresh_its_bars_are(
    stack: Settings, tmp_path: Path, engine: str
) -> None:
    own = own_settings(
        stack,
        tmp_path,
        speed_engine=engine,
        speed_lateness_s=3_600,
        profile="sip",
        speed_venues=(),
    )
    records = simulate(PLAN).records

    def read(store: BarStore) -> int:
        return sum(
            int(point.fields["records"]) for point in points_of(store, "speed_batch", own.topic)
        )

    driver = SpeedProcess.start(own)
    try:
        with closing(open_store(own)) as store:
            store.ensure_buckets()
            driver.wait_until_ready()
            send(own, records)
            until(lambda: read(store) >= len(records), within_s=READ_WITHIN_S)
            batches = points_of(store, "speed_batch", own.topic)
            until(
                lambda: len(points_of(store, "speed_batch", own.topic)) > len(batches),
                within_s=READ_WITHIN_S,
            )

            *_, last = points_of(store, "speed_batch", own.topic)
            freshness = points_of(store, "speed_freshness", own.topic)
            assert read(store) == len(records)
            assert (last.fields["lag"], last.fields["records"]) == (0, 0)
            assert sum(int(point.fields["bars"]) for point in batches) > 0
            assert len(freshness) >= 1
    finally:
        driver.stop()
