"""What the DAGs do with the counts of an archive run: write metrics, fail when offsets are missing.

Does not archive: `spark/archive.py` does, and prints the counts.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import Point


def archive_point(topic: str, counts: Mapping[str, Any], now_ns: int) -> Point:
    """Return the point of one run. `holes` and `lost` are numbers of offset ranges.

    `rejected` counts everything that was ever archived; the other counts are of this run.
    """
    fields = {name: counts[name] for name in ("records", "rejected", "dead_letters")}
    ranges = {name: len(counts[name]) for name in ("holes", "lost")}
    return Point("archive", {"topic": topic}, now_ns, fields | ranges)


def write_metrics(settings: Settings, counts: Mapping[str, Any]) -> None:
    """Write the point of a run that ends now. Safe to repeat: that writes another point."""
    with closing(open_store(settings)) as store:
        report = store.write_points([archive_point(settings.topic, counts, time.time_ns())])
    report.require_stored("metrics", "the archive is complete without them")


def require_complete(counts: Mapping[str, Any]) -> None:
    """Fail the task if the lake lacks offsets that Kafka still has, or if this run is the first to
    find lost offsets. Log all lost offsets.

    Lost offsets are in neither, and nothing brings them back, so they do not keep a task red.
    """
    if counts["lost"]:
        logger("archive").warning("lost", offsets=counts["lost"])
    problems = []
    if counts["newly_lost"]:
        problems.append(
            f"Kafka deleted records before they were archived: {'; '.join(counts['newly_lost'])}"
        )
    if counts["holes"]:
        problems.append(f"the lake lacks {'; '.join(counts['holes'])}")
    if problems:
        raise AirflowFailException(". ".join(problems))
