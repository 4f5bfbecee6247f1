"""Who triggered a run, as ledgers record it."""

from types import SimpleNamespace

import pytest
from airflow.utils.types import DagRunType

from truetape.schedule.defaults import triggered_by


@pytest.mark.parametrize(
    ("user", "run_type", "who"),
    [
        ("operator", DagRunType.MANUAL, "airflow:operator"),
        (None, DagRunType.SCHEDULED, "airflow:scheduled"),
        (None, "backfill", "airflow:backfill"),
    ],
    ids=["a person", "the schedule", "text"],
)
def test_a_run_is_recorded_under_its_user_or_its_run_type(
    user: str | None, run_type: object, who: str
) -> None:
    run = SimpleNamespace(triggering_user_name=user, run_type=run_type)

    assert triggered_by(run) == who
