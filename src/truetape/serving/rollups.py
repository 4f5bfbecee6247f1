"""Roll-ups in the database: the tasks of `influx/tasks/` that InfluxDB runs by itself.

They keep provisional 5m and 1h bars, and their moving averages, between two publications. Here is
which tasks there are and how they reach the server; what they compute is in their Flux. Values are
exact only once the batch layer has published.
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
RUNS_LOOKED_AT = 20
"""How many of a task's last runs are looked at; a task has one at a time."""
MAX_TASKS = 500
"""How many tasks of an organisation are looked through; InfluxDB lists no more at once."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """One task: which template, for which width, how often, and how far back it makes rows anew.

    Durations are Flux's. `reach` counts from the end of the window that is going on.
    """

    template: str
    resolution: Resolution
    every: str
    offset: str
    reach: str
    warm_up: str = ""

    def name(self, buckets: Buckets) -> str:
        """Return the name under which InfluxDB lists it; one for each set of buckets."""
        return f"truetape {buckets.set_name} {self.template} {self.resolution.value}"

    def flux(self, buckets: Buckets) -> str:
        """Return its text, ready for the server; ConfigError when a placeholder has no value."""
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
"""What a run costs at 500 symbols: docs/adr/0024-roll-ups.md."""


def ensure(server: InfluxHttp, buckets: Buckets) -> list[str]:
    """Bring the server's tasks to those declared; return one line for each change. Repeatable.

    ConfigError when the token may not see or change tasks.
    """
    listed = _listed(server)
    done = []
    for rollup in ROLLUPS:
        name, flux = rollup.name(buckets), rollup.flux(buckets)
        same = [task for task in listed if task["name"] == name]
        for twin in same[1:]:  # names need not be unique there
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


def runs_at_work(server: InfluxHttp, buckets: Buckets) -> Mapping[str, frozenset[str]]:
    """Return the runs that have begun and not ended, by the id of their task."""
    names = {rollup.name(buckets) for rollup in ROLLUPS}
    ours = [task["id"] for task in _listed(server) if task["name"] in names]
    return {task: _at_work(server, task) for task in ours}


def await_runs(
    server: InfluxHttp,
    buckets: Buckets,
    within_s: float,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Wait until every run that is at work now has ended; later ones are not waited for.

    One that failed may have left a write that the server still works on, which gets the time limit
    of a write. TransientError when one does not end `within_s`.
    """
    deadline = time.monotonic() + within_s
    ends = {
        _end_of(server, task, run, deadline, sleep)
        for task, runs in runs_at_work(server, buckets).items()
        for run in runs
    }
    if ends - {"success"}:
        sleep(server.timeout_s)


def _end_of(
    server: InfluxHttp, task: str, run: str, deadline: float, sleep: Callable[[float], object]
) -> str:
    """Wait for a run; return how it ended. Between its end and its record the server knows none."""
    while True:
        path = f"{_path(task)}/runs/{quote(run)}"
        found = server.send_json("GET", path, accepted={404}).get("status", "unknown")
        if found in ENDED:
            return str(found)
        if time.monotonic() > deadline:
            raise TransientError(
                f"InfluxDB's task {task} is still at work (run {run}); is it stuck? nothing was "
                "published; look at its runs, or end it, and publish again"
            )
        sleep(POLL_S)


def _filled(template: str, words: Mapping[str, str]) -> str:
    """Return a template with its placeholders filled in."""
    path = folder("influx") / "tasks" / f"{template}.flux"
    text = path.read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    left = [part for part in text.split("@")[1::2] if part.isidentifier()]
    if left:
        raise ConfigError(f"{path}: no value for @{left[0]}@; known: {', '.join(words)}")
    return text


def _listed(server: InfluxHttp) -> list[dict[str, str]]:
    query = urlencode({"org": server.org, "limit": MAX_TASKS})
    found: list[dict[str, str]] = server.send_json("GET", f"/api/v2/tasks?{query}")["tasks"]
    return found


def _at_work(server: InfluxHttp, task: str) -> frozenset[str]:
    found = server.send_json("GET", f"{_path(task)}/runs?limit={RUNS_LOOKED_AT}")
    return frozenset(run["id"] for run in found["runs"] if run["status"] == "started")


def _path(task: str) -> str:
    return f"/api/v2/tasks/{quote(task)}"


def _org_id(server: InfluxHttp) -> str:
    found = server.send_json("GET", "/api/v2/orgs?" + urlencode({"org": server.org}))
    return str(found["orgs"][0]["id"])
