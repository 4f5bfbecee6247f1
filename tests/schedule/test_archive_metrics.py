"""What an archive run counted, as a point."""

from contextlib import closing
from dataclasses import replace

from support.build import NOON
from truetape.host.settings import Settings
from truetape.schedule.archive_metrics import point, tell
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


def test_holes_and_lost_ones_are_told_apart() -> None:
    told = point("trades", COUNTS, NOON)

    assert (told.measurement, told.tags, told.time_ns) == ("archive", {"topic": "trades"}, NOON)
    assert told.fields == {"records": 120, "rejected": 9, "dead_letters": 2, "holes": 1, "lost": 2}
    assert set(told.fields) == set(PIPELINE["archive"].fields)


def test_the_point_of_a_run_is_in_the_pipeline_bucket(settings: Settings) -> None:
    own = replace(settings, store="embedded", bucket_set="live")

    tell(own, COUNTS)

    with closing(open_store(own)) as store:
        [found] = store.read_points("archive", 0, 2**62)
    assert (found.fields["records"], found.tags["topic"]) == (120, own.topic)
