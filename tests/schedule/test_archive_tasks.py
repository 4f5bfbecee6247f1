"""What an archive run counted: its metrics point, and which missing offsets make a task red."""

from contextlib import closing
from dataclasses import replace

import pytest
import structlog
from airflow.sdk.exceptions import AirflowFailException

from support.build import NOON
from truetape.host.settings import Settings
from truetape.schedule.archive_tasks import archive_point, require_complete, write_metrics
from truetape.serving.backends import open_store
from truetape.serving.schema import PIPELINE

COUNTS = {
    "records": 120,
    "rejected": 9,
    "dead_letters": 2,
    "holes": ["trades/0: offsets 4 to 9"],
    "lost": ["trades/0: offsets 0 to 1", "trades/1: offsets 7 to 7"],
    "dirty": [],
}
"""What the job prints: see spark/archive.py."""
HOLE, OTHER = "trades/0: offsets 5 to 9", "trades/3: offsets 0 to 0"


def test_the_point_counts_holes_and_lost_ranges_separately() -> None:
    point = archive_point("trades", COUNTS, NOON)

    assert (point.measurement, point.tags, point.time_ns) == ("archive", {"topic": "trades"}, NOON)
    assert point.fields == {"records": 120, "rejected": 9, "dead_letters": 2, "holes": 1, "lost": 2}
    assert set(point.fields) == set(PIPELINE["archive"].fields)


def test_the_point_of_a_run_is_written_to_the_pipeline_bucket(settings: Settings) -> None:
    own = replace(settings, store="embedded", bucket_set="live")

    write_metrics(own, COUNTS)

    with closing(open_store(own)) as store:
        [point] = store.read_points("archive", 0, 2**62)
    assert (point.fields["records"], point.tags["topic"]) == (120, own.topic)


def test_a_lake_without_missing_offsets_is_complete() -> None:
    with structlog.testing.capture_logs() as logged:
        require_complete({"holes": [], "lost": [], "newly_lost": []})

    assert logged == []


def test_the_failure_names_the_offsets_that_kafka_still_has() -> None:
    with pytest.raises(AirflowFailException, match=f"the lake lacks {HOLE}; {OTHER}"):
        require_complete({"holes": [HOLE, OTHER], "lost": [], "newly_lost": []})


def test_lost_offsets_are_logged_and_do_not_make_the_task_red() -> None:
    with structlog.testing.capture_logs() as logged:
        require_complete({"holes": [], "lost": [HOLE], "newly_lost": []})

    assert [(line["event"], line["offsets"]) for line in logged] == [("lost", [HOLE])]


def test_offsets_that_this_run_is_the_first_to_find_lost_make_the_task_red() -> None:
    with pytest.raises(AirflowFailException, match=f"before they were archived: {HOLE}"):
        require_complete({"holes": [], "lost": [HOLE, OTHER], "newly_lost": [HOLE]})
