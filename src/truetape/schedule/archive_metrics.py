"""What an archive run has counted, as a point for the bucket `pipeline`."""

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import Point


def point(topic: str, counts: Mapping[str, Any], now_ns: int) -> Point:
    """Return the point of one run: holes that Kafka can fill, and lost ones, by their number.

    `rejected` is of all that was ever archived, the other counts are of this run.
    """
    fields = {name: counts[name] for name in ("records", "rejected", "dead_letters")}
    holes = {name: len(counts[name]) for name in ("holes", "lost")}
    return Point("archive", {"topic": topic}, now_ns, fields | holes)


def tell(settings: Settings, counts: Mapping[str, Any]) -> None:
    """Write the point of a run that ends now. Safe to repeat: that is another point."""
    with closing(open_store(settings)) as store:
        report = store.write_points([point(settings.topic, counts, time.time_ns())])
    report.require_stored("metrics", "the archive is complete without them")
