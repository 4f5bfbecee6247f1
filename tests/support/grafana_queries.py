"""The queries of boards and alerts as they stand in the files, and asking InfluxDB one of them.

Reads the files that Grafana loads, not what made them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from support.grafana_frames import Answer, frames_of
from truetape.host.errors import ConfigError
from truetape.host.http import Reply
from truetape.serving.http import InfluxHttp

_PROFILER = 'option profiler.enabledProfilers = ["operator"]'
_DIALECT = {"annotations": ["group", "datatype", "default"]}
ANNOTATION_POINTS = 100


@dataclass(frozen=True, slots=True)
class Query:
    """A query in a file: where it stands, what draws it, and for how many points it asks.

    `kind` is the panel's, or "variable", "annotation", "alert". `back_s` is set for alerts, which
    choose their range themselves.
    """

    board: str
    title: str
    ref: str
    kind: str
    text: str
    max_points: int
    back_s: int | None = None

    @property
    def name(self) -> str:
        """Return board, title and letter."""
        return f"{self.board}: {self.title} ({self.ref})"


def queries(root: Path) -> Iterator[Query]:
    """Yield every query below `grafana/`."""
    for path in sorted(root.glob("dashboards/**/*.json")):
        yield from _of_board(json.loads(path.read_text("utf-8")))
    for path in sorted(root.glob("provisioning/alerting/*.yaml")):
        yield from _of_alerts(yaml.safe_load(path.read_text("utf-8").replace("$$", "$")))


def ask(server: InfluxHttp, flux: str) -> Answer:
    """Ask as Grafana does; a query that InfluxDB refuses is an answer with its error."""
    reply = _post(server, flux)
    if reply.status != 200:
        return Answer([], f"{reply.status}: {reply.message}", len(reply.body))
    return frames_of(reply.body.decode())


def operators(server: InfluxHttp, flux: str) -> set[str]:
    """Return the names of the operators that InfluxDB runs for a query, such as
    `readWindowAggregateSource`.
    """
    reply = _post(server, _profiled(flux))
    if reply.status != 200:
        raise ConfigError(f"{reply.status}: {reply.message}")
    found = frames_of(reply.body.decode()).frames
    kinds = (one.column("Type").values for one in found if one.name == "profiler/operator")
    return {kind.rpartition(".")[2] for values in kinds for kind in values}


def _profiled(flux: str) -> str:
    """Turn the profiler on; imports come before anything else in Flux."""
    rows = flux.split("\n")
    imports = [row for row in rows if row.startswith("import ")]
    rest = [row for row in rows if not row.startswith("import ")]
    return "\n".join(['import "profiler"', *imports, _PROFILER, *rest])


def _post(server: InfluxHttp, flux: str) -> Reply:
    body = json.dumps({"query": flux, "type": "flux", "dialect": _DIALECT}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/csv"}
    path = "/api/v2/query?" + urlencode({"org": server.org})
    answer = server.request("POST", path, body=body, headers=headers)
    if not isinstance(answer, Reply):
        raise server.error(answer)
    return answer


def _of_board(board: Mapping[str, Any]) -> Iterator[Query]:
    title = board["title"]
    for one in board["templating"]["list"]:
        if one["type"] == "query":
            yield Query(title, one["name"], "V", "variable", one["query"], ANNOTATION_POINTS)
    for one in board["annotations"]["list"]:
        text = one["target"]["query"]
        yield Query(title, one["name"], "N", "annotation", text, ANNOTATION_POINTS)
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield Query(
                title,
                panel["title"],
                target["refId"],
                panel["type"],
                target["query"],
                panel["maxDataPoints"],
            )


def _of_alerts(file: Mapping[str, Any]) -> Iterator[Query]:
    for group in file["groups"]:
        for rule in group["rules"]:
            for step in rule["data"]:
                if "query" in step["model"]:
                    text, back_s = step["model"]["query"], step["relativeTimeRange"]["from"]
                    yield Query(
                        "Alerts", rule["title"], step["refId"], "alert", text,
                        ANNOTATION_POINTS, back_s,
                    )  # fmt: skip
