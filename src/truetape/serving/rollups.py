"""Roll-ups in the database: declares the tasks of `influx/tasks/` and installs them in InfluxDB.

Computes nothing: InfluxDB runs the Flux of each task by itself. The tasks write provisional 5m and
1h bars and their moving averages between publications. Values are exact only after the batch layer
has published.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from truetape.host.errors import ConfigError, TransientError
from truetape.host.resources import folder
from truetape.market.resolution import ROLLUP_SOURCE, Resolution
from truetape.serving.buckets import Buckets
from truetape.serving.http import InfluxHttp

POLL_S = 0.2
ENDED = frozenset({"success", "failed", "canceled"})
MAX_RUNS = 20
"""How many of a task's last runs are read; a task runs once at a time."""
MAX_TASKS = 500
"""How many tasks of an organisation are read; InfluxDB lists no more at once."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """One task: its template, the width of its bars, its period, and how far back it writes.

    Durations are in Flux's notation. `reach` counts back from the end of the current window.
    """

    template: str
    resolution: Resolution
    every: str
    offset: str
    reach: str
    warm_up: str = ""

    def name(self, buckets: Buckets) -> str:
        """Return the task's name in InfluxDB; each set of buckets has its own."""
        return f"truetape {buckets.set_name} {self.template} {self.resolution.value}"

    def flux(self, buckets: Buckets) -> str:
        """Return the Flux for the server. Raise ConfigError if a placeholder has no value."""
        words = {
            "name": self.name(buckets),
            "every": self.every,
            "offset": self.offset,
            "width": self.resolution.value,
            "minutes": str(self.resolution.width_ns // ROLLUP_SOURCE.width_ns),
            "reach": self.reach,
            "warm_up": self.warm_up,
            "source": buckets.bars[ROLLUP_SOURCE].name,
            "target": buckets.bars[self.resolution].name,
            "pipeline": buckets.pipeline.name,
        }
        fences = _filled("fences", words).rstrip()
        return _filled(self.template, words | {"fences": fences})


ROLLUPS = (
    Rollup("rollup", Resolution.FIVE_MINUTES, every="1m", offset="5s", reach="65m"),
    Rollup("rollup", Resolution.HOUR, every="5m", offset="15s", reach="4h"),
    Rollup(
        "moving_average",
        Resolution.FIVE_MINUTES,
        every="1m",
        offset="25s",
        reach="65m",
        warm_up="5d",
    ),
    Rollup("moving_average", Resolution.HOUR, every="5m", offset="35s", reach="4h", warm_up="21d"),
)
"""docs/adr/0024-roll-ups.md has the cost of a run at 500 symbols."""


def ensure(server: InfluxHttp, buckets: Buckets) -> list[str]:
    """Make the server's tasks equal the declared ones; return one line for each change.

    Safe to repeat. Raise ConfigError if the token may not read or change tasks.
    """
    listed = _listed(server)
    done = []
    for rollup in ROLLUPS:
        name, flux = rollup.name(buckets), rollup.flux(buckets)
        same = [task for task in listed if task["name"] == name]
        for twin in same[1:]:  # InfluxDB allows two tasks of one name
            server.send_json("DELETE", _path(twin["id"]), accepted={404})
            done.append(f"removed a second task {name!r}")
        if not same:
            wanted = {"orgID": _org_id(server), "flux": flux, "status": "active"}
            server.send_json("POST", "/api/v2/tasks", wanted)
            done.append(f"created task {name!r}")
        elif same[0]["flux"] != flux or same[0]["status"] != "active":
            change = {"flux": flux, "status": "active"}
            server.send_json("PATCH", _path(same[0]["id"]), change)
            done.append(f"changed task {name!r}")
    return done


def current_runs(server: InfluxHttp, buckets: Buckets) -> Mapping[str, frozenset[str]]:
    """Return the ids of the running runs, by the id of their task."""
    names = {rollup.name(buckets) for rollup in ROLLUPS}
    ours = [task["id"] for task in _listed(server) if task["name"] in names]
    return {task: _running(server, task) for task in ours}


def await_runs(
    server: InfluxHttp,
    buckets: Buckets,
    within_s: float,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Wait until every current run has ended; do not wait for runs that start later.

    A failed run may leave a write that the server still executes: then also wait for the time limit
    of a write. Raise TransientError if a run does not end `within_s`.
    """
    deadline = time.monotonic() + within_s
    ends = {
        _end_of(server, task, run, deadline, sleep)
        for task, runs in current_runs(server, buckets).items()
        for run in runs
    }
    if ends - {"success"}:
        sleep(server.timeout_s)


def _end_of(
    server: InfluxHttp, task: str, run: str, deadline: float, sleep: Callable[[float], object]
) -> str:
    """Wait for a run; return its last status.

    For a moment after a run ends the server has no record of it and answers 404.
    """
    while True:
        path = f"{_path(task)}/runs/{quote(run)}"
        status = server.send_json("GET", path, accepted={404}).get("status", "unknown")
        if status in ENDED:
            return str(status)
        if time.monotonic() > deadline:
            raise TransientError(
                f"InfluxDB's task {task} is still running (run {run}), perhaps stuck; nothing was "
                "published; check its runs, or cancel this one, and publish again"
            )
        sleep(POLL_S)


def _filled(template: str, words: Mapping[str, str]) -> str:
    """Return a template with its placeholders replaced."""
    path = folder("influx") / "tasks" / f"{template}.flux"
    text = path.read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    unfilled = [part for part in text.split("@")[1::2] if part.isidentifier()]
    if unfilled:
        raise ConfigError(f"{path}: no value for @{unfilled[0]}@; known: {', '.join(words)}")
    return text


def _listed(server: InfluxHttp) -> list[dict[str, str]]:
    query = urlencode({"org": server.org, "limit": MAX_TASKS})
    tasks: list[dict[str, str]] = server.send_json("GET", f"/api/v2/tasks?{query}")["tasks"]
    return tasks


def _running(server: InfluxHttp, task: str) -> frozenset[str]:
    runs = server.send_json("GET", f"{_path(task)}/runs?limit={MAX_RUNS}")["runs"]
    return frozenset(run["id"] for run in runs if run["status"] == "started")


def _path(task: str) -> str:
    return f"/api/v2/tasks/{quote(task)}"


def _org_id(server: InfluxHttp) -> str:
    orgs = server.send_json("GET", "/api/v2/orgs?" + urlencode({"org": server.org}))["orgs"]
    return str(orgs[0]["id"])
