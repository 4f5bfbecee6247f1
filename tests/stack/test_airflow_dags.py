"""The DAGs as `truetape status` reads them from the local Airflow's API."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from truetape.host import secret_files
from truetape.host.errors import TransientError
from truetape.host.settings import Secret, Settings
from truetape.pipeline.facts import LastRun
from truetape.stack import airflow_config
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.airflow_dags import read_dags
from truetape.stack.server import free_port

PAUSED = "batch_recompute_xnys"


def answer(_: AirflowApi, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Answer as Airflow: one DAG is paused, and the last run of the archive has failed."""
    if method == "POST":
        return {"access_token": "a token"}
    name = path.split("/")[4]
    if "/dagRuns" not in path:
        return {"is_paused": name == PAUSED, "next_dagrun_run_after": "2026-11-24T12:05:00Z"}
    assert "state=success&state=failed" in path
    run = {"dag_run_id": "r1", "state": "failed", "end_date": "2026-11-24T12:00:00Z"}
    return {"dag_runs": [run] if name == "archive_trades" else []}


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Settings of a home whose Airflow has its passwords."""
    own = replace(settings, airflow=True, airflow_port=free_port())
    passwords = Secret(json.dumps(dict.fromkeys(airflow_config.USERS, "x")))
    secret_files.write(airflow_config.passwords_file(own), passwords)
    return own


def test_paused_failed_and_missing_dags_are_read(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AirflowApi, "request", answer)
    monkeypatch.setattr(AirflowApi, "has_dag", lambda _, dag: dag != "maintenance")

    by_name = {facts.duty.dag: facts for facts in read_dags(own) or ()}

    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert by_name["archive_trades"].last == LastRun("r1", True, noon)
    assert by_name["archive_trades"].next == noon.replace(minute=5)
    assert [name for name, facts in by_name.items() if facts.is_paused] == [PAUSED]
    assert [name for name, facts in by_name.items() if not facts.is_known] == ["maintenance"]


def test_an_airflow_that_does_not_answer_is_an_error(own: Settings) -> None:
    with pytest.raises(TransientError):
        read_dags(own)


def test_a_home_that_never_had_an_airflow_is_not_asked(settings: Settings) -> None:
    assert read_dags(settings) is None
    assert read_dags(replace(settings, airflow=False)) is None
