"""Which offsets make a task red."""

import pytest
import structlog
from airflow.sdk.exceptions import AirflowFailException

from truetape.schedule.completeness import require_complete

HOLE, OTHER = "trades/0: offsets 5 to 9", "trades/3: offsets 0 to 0"


def test_a_lake_that_has_everything_is_complete() -> None:
    with structlog.testing.capture_logs() as said:
        require_complete({"holes": [], "lost": []})

    assert said == []


def test_offsets_that_kafka_still_has_are_named_in_the_failure() -> None:
    with pytest.raises(AirflowFailException, match=f"the lake lacks {HOLE}; {OTHER}"):
        require_complete({"holes": [HOLE, OTHER], "lost": []})


def test_what_neither_has_is_said_and_keeps_nothing_red() -> None:
    with structlog.testing.capture_logs() as said:
        require_complete({"holes": [], "lost": [HOLE]})

    assert [(line["event"], line["offsets"]) for line in said] == [("lost", [HOLE])]
