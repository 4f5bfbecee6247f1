"""What the driver says of itself, from what Spark reports of a batch."""

import json

import pytest

from truetape.speed.job import Progress

TOPIC = "trades"


def report(ends: object, newest: object) -> dict[str, object]:
    """`query.lastProgress`, as far as it is read."""
    return {
        "batchId": 7,
        "processedRowsPerSecond": 12.5,
        "eventTime": {"watermark": "2026-03-05T14:40:00.000Z"},
        "sources": [{"endOffset": ends, "latestOffset": newest}],
    }


@pytest.mark.parametrize(
    ("newest", "lag"),
    [
        pytest.param({TOPIC: {"0": 9, "1": 4}}, {"0": 4, "1": 0}, id="object"),
        pytest.param(json.dumps({TOPIC: {"0": 9, "1": 4}}), {"0": 4, "1": 0}, id="text"),
        pytest.param("null", {"0": 0, "1": 0}, id="a planned batch run again after a restart"),
        pytest.param(None, {"0": 0, "1": 0}, id="not told"),
    ],
)
def test_progress_is_read_in_every_form_that_spark_gives_it(
    newest: object, lag: dict[str, int]
) -> None:
    found = Progress.of(report({TOPIC: {"0": 5, "1": 4}}, newest))

    assert found == Progress(7, 12.5, {"0": 5, "1": 4}, lag, "2026-03-05T14:40:00.000Z")


@pytest.mark.parametrize("nothing", [None, {}, {"batchId": 0, "sources": []}])
def test_before_the_first_batch_there_is_no_progress(nothing: dict[str, object] | None) -> None:
    assert Progress.of(nothing) == Progress(-1, 0.0, {}, {}, "")
