"""Progress: what a heartbeat takes from Spark's report of a batch."""

import json

import pytest

from support.build import SECOND, at
from truetape.speed.progress import Progress

TOPIC = "trades"


def report(ends: object) -> dict[str, object]:
    """The fields of `query.lastProgress` that are read."""
    return {
        "batchId": 7,
        "timestamp": "2026-03-05T14:41:00.500Z",
        "processedRowsPerSecond": 12.5,
        "durationMs": {"triggerExecution": 1_500},
        "eventTime": {"watermark": "2026-03-05T14:40:00.000Z"},
        "sources": [{"endOffset": ends, "latestOffset": "null"}],
    }


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param({TOPIC: {"0": 5, "1": 4}}, id="object"),
        pytest.param(json.dumps({TOPIC: {"0": 5, "1": 4}}), id="text"),
    ],
)
def test_offsets_are_read_in_every_form_that_spark_reports(ends: object) -> None:
    ended = at("2026-03-05T14:41:02")

    progress = Progress.of(report(ends))

    assert progress == Progress(7, ended, 12.5, {"0": 5, "1": 4}, "2026-03-05T14:40:00.000Z")


def test_a_batch_without_durations_ends_when_it_begins() -> None:
    short = report({TOPIC: {"0": 5}}) | {"durationMs": None}

    assert Progress.of(short).batch_end_ns == at("2026-03-05T14:41:00") + SECOND // 2


@pytest.mark.parametrize("nothing", [None, {}, {"batchId": 0, "sources": []}])
def test_before_the_first_batch_there_is_no_progress(nothing: dict[str, object] | None) -> None:
    assert Progress.of(nothing) == Progress()
