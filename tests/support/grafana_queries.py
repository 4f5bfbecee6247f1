"""The queries of boards and alerts in the files that Grafana loads, and how to run one.

Does not read the Python objects from which the files are made.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from support.grafana_frames import QueryAnswer, frames_of
from truetape.host.errors import ConfigError
from truetape.host.http import Reply
from truetape.serving.http import InfluxHttp

_PROFILER = 'option profiler.enabledProfilers = ["operator"]'
_DIALECT = {"annotations": ["group", "datatype", "default"]}
ANNOTATION_POINTS = 100


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """A query in a file: its place, what draws it, and the number of points that it asks for.

    `kind` is the panel's, or "variable", "annotation", "alert". Only an alert has `back_s`: it sets
    its own range.
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
        """Return board, title and letter of the query."""
        return f"{self.board}: {self.title} ({self.ref})"


def queries(root: Path) -> Iterator[BoardQuery]:
    """Yield every query below `grafana/`."""
    for path in sorted(root.glob("dashboards/**/*.json")):
        yield from _of_board(json.loads(path.read_text("utf-8")))
    for path in sorted(root.glob("provisioning/alerting/*.yaml")):
        yield from _of_alerts(yaml.safe_load(path.read_text("utf-8").replace("$$", "$")))


def run_query(server: InfluxHttp, flux: str) -> QueryAnswer:
    """Run a query as Grafana does. If InfluxDB rejects it, return an answer with the error."""
    reply = _post(server, flux)
    if reply.status != 200:
        return QueryAnswer([], f"{reply.status}: {reply.message}", len(reply.body))
    return frames_of(reply.body.decode())


def operators(server: InfluxHttp, flux: str) -> set[str]:
    """Return the names of the operators that InfluxDB runs for a query, such as
    `readWindowAggregateSource`.
    """
    reply = _post(server, _profiled(flux))
    if reply.status != 200:
        raise ConfigError(f"{reply.status}: {reply.message}")
    frames = frames_of(reply.body.decode()).frames
    kinds = (frame.column("Type").values for frame in frames if frame.name == "profiler/operator")
    return {kind.rpartition(".")[2] for values in kinds for kind in values}


def _profiled(flux: str) -> str:
    """Turn the profiler on. In Flux, imports must come first."""
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


def _of_board(board: Mapping[str, Any]) -> Iterator[BoardQuery]:
    title = board["title"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            name, text = variable["name"], variable["query"]
            yield BoardQuery(title, name, "V", "variable", text, ANNOTATION_POINTS)
    for annotation in board["annotations"]["list"]:
        text = annotation["target"]["query"]
        yield BoardQuery(title, annotation["name"], "N", "annotation", text, ANNOTATION_POINTS)
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield BoardQuery(
                title,
                panel["title"],
                target["refId"],
                panel["type"],
                target["query"],
                panel["maxDataPoints"],
            )


def _of_alerts(file: Mapping[str, Any]) -> Iterator[BoardQuery]:
    for group in file["groups"]:
        for rule in group["rules"]:
            for step in rule["data"]:
                if "query" in step["model"]:
                    text, back_s = step["model"]["query"], step["relativeTimeRange"]["from"]
                    yield BoardQuery(
                        "Alerts", rule["title"], step["refId"], "alert", text,
                        ANNOTATION_POINTS, back_s,
                    )  # fmt: skip
