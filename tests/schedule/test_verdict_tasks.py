"""The verdict of a task: what it learns of the DAGs, and the point that it writes."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, GetDag

from support.facts import SOUND, with_dag
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.pipeline.facts import Facts, Failed, LastRun
from truetape.schedule import verdict_tasks
from truetape.schedule.verdict_tasks import read_dags, write_verdict
from truetape.serving.backends import open_store
from truetape.serving.schema import PIPELINE

EARLIER, LATER = (datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (10, 11))


class Supervisor:
    """Answers a task as Airflow's supervisor: one DAG is paused, one is missing, one has failed."""

    def __call__(self, message: Any) -> Any:
        if isinstance(message, GetDag):
            if message.dag_id == "maintenance":
                raise refusal(404)
            return SimpleNamespace(is_paused=message.dag_id == "data_quality")
        when = LATER if message.state == "failed" else EARLIER
        run = SimpleNamespace(
            run_id=f"run at {when}", state=message.state, logical_date=when, end_date=when
        )
        is_of = message.dag_id == "archive_trades"
        return SimpleNamespace(dag_run=run if is_of else None)


def refusal(status: int) -> AirflowRuntimeError:
    detail = {"status_code": status}
    return AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


def test_a_task_learns_which_dags_are_paused_missing_or_failed(settings: Settings) -> None:
    by_name = {facts.duty.dag: facts for facts in read_dags(settings, Supervisor())}

    assert by_name["data_quality"].is_paused
    assert not by_name["maintenance"].is_known
    assert by_name["archive_trades"].last == LastRun(f"run at {LATER}", True, LATER)
    assert by_name["batch_recompute_xnys"].last is None


def test_an_api_that_does_not_answer_is_an_error_and_no_missing_dag(settings: Settings) -> None:
    def away(_: Any) -> Any:
        raise refusal(500)

    with pytest.raises(TransientError, match="Airflow's API does not answer"):
        read_dags(settings, away)


@pytest.mark.parametrize(
    ("facts", "fields"),
    [
        (SOUND, {"verdict": "Yes", "grave": 0, "light": 0, "text": ""}),
        (with_dag("data_quality", is_paused=True),
         {"verdict": "Nearly", "grave": 0, "light": 1,
          "text": "DAG paused: data_quality is paused: feeds and served bars are not checked"}),
        (replace(SOUND, store=Failed("away")),
         {"verdict": "No", "grave": 1, "light": 0, "text": "Cannot be read: served bars: away"}),
    ],
    ids=["sound", "paused", "unreadable"],
)  # fmt: skip
def test_the_verdict_is_a_point_of_the_pipeline_bucket(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, facts: Facts, fields: dict[str, object]
) -> None:
    own = replace(settings, store="embedded", bucket_set="live")
    monkeypatch.setattr(verdict_tasks, "read_facts", lambda *_: facts)

    sentence = write_verdict(own)

    with closing(open_store(own)) as store:
        [point] = store.read_points("verdict", 0, 2**62)
    assert dict(point.fields) == fields
    assert point.tags == {"topic": own.topic}
    assert set(point.fields) == set(PIPELINE["verdict"].fields)
    assert sentence.startswith(str(fields["verdict"]))
