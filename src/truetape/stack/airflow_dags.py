"""The DAGs of the local Airflow, read through its API. Changes nothing."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from truetape.host.settings import Settings
from truetape.pipeline.facts import DagDuty, DagFacts, LastRun
from truetape.schedule.dag_duties import duties
from truetape.stack import airflow_config
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.server import LOOPBACK

USER = "viewer"
_ENDED = "state=success&state=failed"


def read_dags(settings: Settings) -> tuple[DagFacts, ...] | None:
    """Return the DAGs that the served bars depend on; None if this home never had an Airflow.

    Raise TransientError if Airflow does not answer, ConfigError if it refuses.
    """
    password = airflow_config.passwords(settings).get(USER) if settings.airflow else None
    if password is None:
        return None
    api = AirflowApi(f"http://{LOOPBACK}:{settings.airflow_port}").signed_in(USER, password)
    return tuple(_facts(api, duty) for duty in duties(settings.venues))


def _facts(api: AirflowApi, duty: DagDuty) -> DagFacts:
    if not api.has_dag(duty.dag):
        return DagFacts(duty, is_known=False)
    dag = api.request("GET", f"/api/v2/dags/{quote(duty.dag)}")
    newest = f"/api/v2/dags/{quote(duty.dag)}/dagRuns?limit=1&order_by=-run_after&{_ENDED}"
    runs = api.request("GET", newest)["dag_runs"]
    return DagFacts(
        duty,
        is_paused=dag["is_paused"],
        last=_last_run(runs[0]) if runs else None,
        next=_instant(dag["next_dagrun_run_after"]),
    )


def _last_run(run: dict[str, Any]) -> LastRun:
    return LastRun(run["dag_run_id"], run["state"] == "failed", _instant(run["end_date"]))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
