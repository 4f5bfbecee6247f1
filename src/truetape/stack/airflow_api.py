"""The calls of Airflow's REST API that the stack and the demo need. Decides nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote

from truetape.host.errors import ConfigError, TransientError
from truetape.host.http import Reply, call
from truetape.host.settings import Secret

_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_PAGE = 100
_TIMEOUT_S = 60.0
"""A server that just started takes 10 s and more for its first requests, and others queue."""


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """A DAG run; `state` is "queued", "running", "success" or "failed"."""

    dag: str
    run: str
    state: str

    @property
    def is_over(self) -> bool:
        """True if the run has ended."""
        return self.state in ("success", "failed")


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """One Airflow. Every call but `unhealthy_components` needs a `token`, from `signed_in`."""

    url: str
    token: Secret | None = None

    def unhealthy_components(self) -> list[str]:
        """Return the components that do not report that they are healthy."""
        answer = call(self.url, "GET", "/api/v2/monitor/health", None, {})
        if answer.status != 200:
            return [f"the API answered {answer.status} {answer.text}"]
        reports: dict[str, dict[str, str]] = json.loads(answer.body)
        return [part for part in _PARTS if (reports.get(part) or {}).get("status") != "healthy"]

    def signed_in(self, user: str, password: Secret) -> Self:
        """Sign in; return the same Airflow with a token for `user`."""
        body = {"username": user, "password": password.reveal()}
        reply = self.request("POST", "/auth/token", body)
        return replace(self, token=Secret(reply["access_token"]))

    def runs(self, dag: str) -> list[AirflowRun]:
        """Return the newest runs of a DAG, newest first."""
        path = f"/api/v2/dags/{quote(dag)}/dagRuns?limit={_PAGE}&order_by=-id"
        return [_run(entry) for entry in self.request("GET", path)["dag_runs"]]

    def run(self, dag: str, run: str) -> AirflowRun:
        """Return a run with its state now."""
        return _run(self.request("GET", _path(AirflowRun(dag, run, ""))))

    def trigger(self, dag: str, conf: Mapping[str, object]) -> AirflowRun:
        """Start a run with the values of its form, as a person would."""
        path = f"/api/v2/dags/{quote(dag)}/dagRuns"
        return _run(self.request("POST", path, {"logical_date": None, "conf": conf}))

    def task_states(self, run: AirflowRun) -> dict[str, str]:
        """Return the state of each task of a run; "waiting" if Airflow has not scheduled it yet."""
        path = f"{_path(run)}/taskInstances?limit={_PAGE}"
        tasks = self.request("GET", path)["task_instances"]
        return {task["task_id"]: task["state"] or "waiting" for task in tasks}

    def task_result(self, run: AirflowRun, task: str) -> Any:
        """Return the result of a task."""
        path = f"{_path(run)}/taskInstances/{quote(task)}/xcomEntries/return_value"
        return self.request("GET", path)["value"]

    def unpause(self, dag: str) -> None:
        """Let Airflow run a DAG on its schedule."""
        self.request("PATCH", f"/api/v2/dags/{quote(dag)}", {"is_paused": False})

    def run_page(self, run: AirflowRun) -> str:
        """Return the address of a run's page."""
        return f"{self.url}/dags/{quote(run.dag)}/runs/{quote(run.run, safe='')}"

    def has_dag(self, dag: str) -> bool:
        """True if Airflow has read this DAG."""
        return self._call("GET", f"/api/v2/dags/{quote(dag)}").status == 200

    def import_errors(self) -> list[str]:
        """Return the last line of the error of each DAG file that Airflow cannot read."""
        errors = self.request("GET", "/api/v2/importErrors")["import_errors"]
        return [
            f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}"
            for error in errors
        ]

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call the API. Raise ConfigError for a refusal (3xx, 4xx), TransientError for a 5xx."""
        answer = self._call(method, path, body)
        if answer.status >= 300:
            kind = TransientError if answer.status >= 500 else ConfigError
            where = path.partition("?")[0]
            raise kind(f"Airflow refused {method} {where}: {answer.status} {answer.text}")
        return dict(json.loads(answer.body)) if answer.body else {}

    def _call(self, method: str, path: str, body: object = None) -> Reply:
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        encoded = None if body is None else json.dumps(body).encode()
        return call(self.url, method, path, encoded, headers, timeout_s=_TIMEOUT_S)


def _run(entry: Mapping[str, Any]) -> AirflowRun:
    return AirflowRun(entry["dag_id"], entry["dag_run_id"], entry["state"])


def _path(run: AirflowRun) -> str:
    return f"/api/v2/dags/{quote(run.dag)}/dagRuns/{quote(run.run, safe='')}"
