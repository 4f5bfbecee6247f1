"""The roll-up tasks on a real InfluxDB: what they compute, and which rows they never change."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from statistics import fmean
from urllib.error import HTTPError

import pytest

from support import influxd
from support.influxd import InfluxServer
from support.loop import Values, served, truth
from support.serving import bar, bars, own_buckets
from support.wait import until
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import ConfigError, TransientError
from truetape.host.venues import venues
from truetape.market.resolution import ROLLED_UP, SECOND_NS, Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Event
from truetape.publish.diff import ROLLED_VWAP_ERROR
from truetape.serving import rollups
from truetape.serving.buckets import Buckets
from truetape.serving.http import InfluxHttp
from truetape.serving.influx import InfluxStore
from truetape.serving.rollups import ROLLUPS
from truetape.serving.store import Point, ServedBar

pytestmark = pytest.mark.real

MINUTE, FIVE, HOUR = Resolution.MINUTE, Resolution.FIVE_MINUTES, Resolution.HOUR
WIDTH = MINUTE.width_ns
SESSION = calendars.session(venues()["XNYS"], date(2026, 3, 6))
OPENS = SESSION.open_ns or 0
RUN_WITHIN_S = 60.0


class Tasks:
    """The declared tasks on their own set of buckets, run as of chosen instants."""

    def __init__(self, running: InfluxServer, buckets: Buckets) -> None:
        self.running, self.buckets = running, buckets
        self.server = InfluxHttp(running.url, influxd.ORG, running.token, timeout_s=10, attempts=4)
        self.store = InfluxStore(self.server, buckets)
        self.store.ensure_buckets()

    def ids(self) -> dict[str, str]:
        """Return the ids of this set's tasks, by name."""
        listed = self.running.api("GET", "/api/v2/tasks?limit=500")["tasks"]
        ours = {rollup.name(self.buckets) for rollup in ROLLUPS}
        return {task["name"]: task["id"] for task in listed if task["name"] in ours}

    def start(self, name: str, now_ns: int) -> tuple[str, str]:
        """Start a run as of an instant; return the ids of task and run."""
        task = self.ids()[name]
        path = f"/api/v2/tasks/{task}/runs"
        return task, self.running.api("POST", path, {"scheduledFor": _text(now_ns)})["id"]

    def run(self, template: str, resolution: Resolution, now_ns: int) -> None:
        """Run a task as of an instant, and wait until it succeeded."""
        [rollup] = [
            item for item in ROLLUPS if (item.template, item.resolution) == (template, resolution)
        ]
        task, run = self.start(rollup.name(self.buckets), now_ns)
        states: list[str] = []

        def ended() -> bool:
            states.append(self.state(task, run))
            return states[-1] in ("success", "failed")

        until(ended, within_s=RUN_WITHIN_S)
        assert states[-1] == "success", self.log(task, run)

    def log(self, task: str, run: str) -> object:
        """Return the log of a run; for a moment after its end the server has none."""
        try:
            return self.running.api("GET", f"/api/v2/tasks/{task}/runs/{run}/logs")
        except HTTPError as error:
            return f"no log: {error}"

    def state(self, task: str, run: str) -> str:
        """Return the status of a run; for a moment after its end the server has no record of it."""
        try:
            return str(self.running.api("GET", f"/api/v2/tasks/{task}/runs/{run}")["status"])
        except HTTPError as error:
            if error.code != 404:
                raise
            return "unknown"

    def raise_fence(self, venue: str, fence_ns: int) -> None:
        """Write a fence as a publication does."""
        fields = {"final_ns": 0, "final_from_ns": 0, "fence_ns": fence_ns}
        tags = {"venue": venue, "resolution": "1m"}
        assert not self.store.write_points([Point("boundary", tags, OPENS, fields)]).rejected

    def read(self, resolution: Resolution) -> list[ServedBar]:
        """Return all served bars."""
        return list(self.store.read(resolution, 0, 2 * bar().start_ns))


@pytest.fixture
def tasks(influx_server: InfluxServer) -> Iterator[Tasks]:
    """The declared tasks on empty buckets that never expire."""
    set_name = f"t{time.monotonic_ns()}"
    made = Tasks(influx_server, replace(own_buckets("history"), set_name=set_name))
    with closing(made.store):
        made.store.ensure_rollups()
        yield made
        for task in made.ids().values():
            made.running.api("DELETE", f"/api/v2/tasks/{task}")


def provisional(values: Values) -> ServedBar:
    """Return the row that the speed layer serves with these values."""
    start, session = values[2], SESSION
    seq = (start - session.start_ns) // WIDTH
    return ServedBar(*values, rev=0, seq=seq, layer="speed", final=False, void=False)


def folded(events: list[Event], resolution: Resolution) -> list[Values]:
    """Return the reference fold of all trades, by the profile `all`: every trade is eligible."""
    return truth(events, SESSION, "all", [resolution])[resolution]


def test_rolled_up_bars_equal_the_fold_after_late_trades_too(tasks: Tasks) -> None:
    """Late trades change the served minutes after the first run."""
    made = simulate(
        SimulationPlan(SESSION.date, seed=11, trades=2_000, offset_s=0, duration_s=7_200)
    )
    events = list(made.truth.events)
    late = [event for number, event in enumerate(events) if number % 7 == 0]
    timely = [event for event in events if event not in late]

    tasks.store.write(MINUTE, [provisional(values) for values in folded(timely, MINUTE)])
    for resolution in ROLLED_UP:
        for half_hour in range(1, 5):
            tasks.run("rollup", resolution, OPENS + half_hour * 30 * WIDTH)
    first = {resolution: _without_vwap(served_now(tasks, resolution)) for resolution in ROLLED_UP}
    tasks.store.write(MINUTE, [provisional(values) for values in folded(events, MINUTE)])
    for resolution in ROLLED_UP:
        for half_hour in range(1, 5):
            tasks.run("rollup", resolution, OPENS + half_hour * 30 * WIDTH)

    for resolution in ROLLED_UP:
        wanted, rolled_up = folded(events, resolution), served_now(tasks, resolution)
        assert first[resolution] == _without_vwap(folded(timely, resolution))
        assert first[resolution] != _without_vwap(wanted)
        assert _without_vwap(rolled_up) == _without_vwap(wanted)
        worst = max(abs(a[8] / b[8] - 1) for a, b in zip(rolled_up, wanted, strict=True))
        assert worst <= ROLLED_VWAP_ERROR
        rows = tasks.read(resolution)
        assert {(row.rev, row.layer, row.final, row.void) for row in rows} == {
            (0, "speed", False, False)
        }
        assert [row.seq for row in rows] == [
            (row.start_ns - SESSION.start_ns) // resolution.width_ns for row in rows
        ]


def test_a_run_writes_only_bars_within_its_reach(tasks: Tasks) -> None:
    """65 minutes of 5m bars: the current window and the twelve before it."""
    minutes = [replace(minute, layer="speed", final=False, rev=0) for minute in bars(120)]
    tasks.store.write(MINUTE, minutes)
    begins = minutes[0].start_ns

    tasks.run("rollup", FIVE, begins + 90 * WIDTH + 30 * SECOND_NS)

    starts = [row.start_ns for row in tasks.read(FIVE)]
    assert starts == [begins + minute * WIDTH for minute in range(30, 95, 5)]


def test_void_minutes_are_excluded_from_wider_bars(tasks: Tasks) -> None:
    void = bar(open=0.0, high=0.0, low=0.0, close=0.0, volume=0.0, vwap=0.0, trades=0, void=True)
    minutes = [
        replace(minute, low=90.0 + number, volume=100.0, vwap=95.0 + number, layer="speed")
        for number, minute in enumerate(bars(5))
    ]
    begins = minutes[0].start_ns
    voided = [replace(void, start_ns=begins + minute * WIDTH) for minute in range(5, 10)]
    tasks.store.write(MINUTE, [replace(void, start_ns=begins), *minutes[1:], *voided])

    tasks.run("rollup", FIVE, begins + 10 * WIDTH)

    [wide] = tasks.read(FIVE)
    # minutes 1 to 4: lows 91 to 94, VWAPs 96 to 99 of equal weight
    assert (wide.start_ns, wide.low, wide.volume, wide.trades) == (begins, 91.0, 400.0, 4 * 17)
    assert wide.vwap == pytest.approx(97.5, abs=1e-9)


def test_runs_change_no_final_row_and_no_bar_before_the_fence(tasks: Tasks) -> None:
    """Each venue has its own fence; a final row is safe even if the fence was lost."""
    minutes = [replace(minute, layer="speed", final=False, rev=0) for minute in bars(20)]
    begins = minutes[0].start_ns
    other = [replace(minute, symbol="BTC", venue="KRAKEN") for minute in minutes]
    sealed = bar(start_ns=begins + 15 * WIDTH, seq=3, volume=7.0, rev=4)
    unsealed = bar(start_ns=begins, seq=0, volume=5.0, rev=4, final=False)
    tasks.store.write(MINUTE, [*minutes, *other])
    tasks.store.write(FIVE, [sealed, unsealed])
    tasks.raise_fence("XNYS", begins + 10 * WIDTH)

    tasks.run("rollup", FIVE, begins + 19 * WIDTH)

    rows = {(row.symbol, (row.start_ns - begins) // WIDTH): row for row in tasks.read(FIVE)}
    assert set(rows) == {("BTC", 0), ("BTC", 5), ("BTC", 10), ("BTC", 15)} | {
        ("IBM", 0), ("IBM", 10), ("IBM", 15)
    }  # fmt: skip
    assert (rows["IBM", 0], rows["IBM", 15]) == (unsealed, sealed)
    assert rows["IBM", 10].volume == 5 * 1_200.0


def test_no_run_overwrites_bars_published_after_awaiting_the_runs(tasks: Tasks) -> None:
    """The order of a publication: fence, wait, values, seal; runs start all the time."""
    minutes = [replace(minute, layer="speed", final=False, rev=0) for minute in bars(60)]
    begins = minutes[0].start_ns
    tasks.store.write(MINUTE, minutes)
    name = next(task.name(tasks.buckets) for task in ROLLUPS if task.resolution is FIVE)
    ending = threading.Event()
    started: list[tuple[str, str]] = []

    def hammer() -> None:
        while not ending.is_set():
            started.append(tasks.start(name, begins + 59 * WIDTH))

    runner = threading.Thread(target=hammer)
    runner.start()
    try:
        until(lambda: len(tasks.read(FIVE)) == 12, within_s=RUN_WITHIN_S)
        for number in range(1, 13):
            end = begins + number * 5 * WIDTH
            tasks.raise_fence("XNYS", end)
            tasks.store.await_rollups(RUN_WITHIN_S)
            published = bar(start_ns=end - 5 * WIDTH, volume=float(number), rev=1)
            tasks.store.write(FIVE, [replace(published, final=False)])
            tasks.store.write(FIVE, [published])
    finally:
        ending.set()
        runner.join()
    until(
        lambda: all(tasks.state(*run) in ("success", "failed") for run in started),
        within_s=RUN_WITHIN_S,
    )

    assert len(started) > 12
    assert [(row.volume, row.layer, row.final) for row in tasks.read(FIVE)] == [
        (float(number), "batch", True) for number in range(1, 13)
    ]


@pytest.mark.parametrize(("resolution", "night"), [(FIVE, 3 * 1_440), (HOUR, 3 * 1_440)])
def test_moving_averages_include_the_bars_before_a_weekend(
    tasks: Tasks, resolution: Resolution, night: int
) -> None:
    width, count = resolution.width_ns, 60
    begins = bar().start_ns
    starts = [begins + number * width for number in range(count - 5)]
    starts += [starts[-1] + night * WIDTH + number * width for number in range(1, 6)]
    closes = [100.0 + (number * number % 17) / 4 for number in range(count)]
    rows = [
        bar(start_ns=start, close=close, layer="speed", final=False, rev=0)
        for start, close in zip(starts, closes, strict=True)
    ]
    voided = replace(rows[30], start_ns=rows[30].start_ns + WIDTH, close=0.0, void=True)
    tasks.store.write(resolution, [*rows, voided])

    tasks.run("moving_average", resolution, starts[-1] + WIDTH)

    averages = {
        row.start_ns: row
        for row in tasks.store.read_indicators(resolution, starts[0], starts[-1] + 1)
    }
    last = [start for start in starts if start > starts[-1] - 4 * width]
    assert list(averages)[-4:] == last[-4:]
    for place in range(count - 4, count):
        row = averages[starts[place]]
        assert (row.rev, row.void, row.values.keys()) == (0, False, {"sma_20", "sma_50"})
        for n in (20, 50):
            wanted = fmean(closes[place + 1 - n : place + 1])
            assert row.values[f"sma_{n}"] == pytest.approx(wanted, rel=1e-12)


def test_a_moving_average_is_absent_until_there_are_enough_bars(tasks: Tasks) -> None:
    rows = [
        bar(start_ns=bar().start_ns + number * FIVE.width_ns, layer="speed", final=False)
        for number in range(22)
    ]
    tasks.store.write(FIVE, rows)

    tasks.run("moving_average", FIVE, rows[-1].start_ns)

    averages = list(tasks.store.read_indicators(FIVE, rows[0].start_ns, rows[-1].start_ns + 1))
    assert [row.start_ns for row in averages] == [row.start_ns for row in rows[19:]]
    assert {tuple(row.values) for row in averages} == {("sma_20",)}


def test_runs_write_no_moving_average_before_the_fence(tasks: Tasks) -> None:
    rows = [
        bar(start_ns=bar().start_ns + number * FIVE.width_ns, layer="speed", final=False)
        for number in range(30)
    ]
    tasks.store.write(FIVE, rows)
    tasks.raise_fence("XNYS", rows[25].start_ns)

    tasks.run("moving_average", FIVE, rows[-1].start_ns)

    averages = list(tasks.store.read_indicators(FIVE, rows[0].start_ns, rows[-1].start_ns + 1))
    assert [row.start_ns for row in averages] == [row.start_ns for row in rows[25:]]


def test_ensure_rollups_makes_the_tasks_of_the_server_equal_the_declared_ones(tasks: Tasks) -> None:
    """Creates missing tasks, corrects changed ones, and deletes a second task of the same name."""
    before = tasks.ids()
    changed, missing, *_ = before
    path = "/api/v2/tasks/{}"
    text = tasks.running.api("GET", path.format(before[changed]))["flux"]
    tasks.running.api("PATCH", path.format(before[changed]), {"flux": text.replace("65m", "30m")})
    tasks.running.api("PATCH", path.format(before[changed]), {"status": "inactive"})
    tasks.running.api("DELETE", path.format(before[missing]))
    twin = {"orgID": tasks.running.org_id, "flux": text, "status": "active"}
    tasks.running.api("POST", "/api/v2/tasks", twin)

    done = tasks.store.ensure_rollups()

    assert sorted(line.split(" task ")[0] for line in done) == [
        "changed", "created", "removed a second"
    ]  # fmt: skip
    assert tasks.store.ensure_rollups() == []
    assert set(tasks.ids()) == {rollup.name(tasks.buckets) for rollup in ROLLUPS}
    again = tasks.running.api("GET", path.format(tasks.ids()[changed]))
    assert (again["flux"], again["status"]) == (text, "active")


def test_a_stuck_run_is_an_error_with_its_task_after_a_bounded_wait(tasks: Tasks) -> None:
    name = ROLLUPS[0].name(tasks.buckets)
    slow = f'''import "generate"
option task = {{name: "{name}", every: 1h}}
stop = 2026-01-02T00:00:00Z
generate.from(count: 2500000, fn: (n) => n, start: 2026-01-01T00:00:00Z, stop: stop)
    |> map(fn: (r) => ({{r with _value: r._value * 2}})) |> sum()'''
    tasks.running.api("PATCH", f"/api/v2/tasks/{tasks.ids()[name]}", {"flux": slow})
    task, run = tasks.start(name, OPENS)
    until(lambda: tasks.state(task, run) == "started", within_s=RUN_WITHIN_S)

    with pytest.raises(
        TransientError, match=f"task {task} is still running.*nothing was published"
    ):
        tasks.store.await_rollups(within_s=0.1)
    tasks.store.await_rollups(within_s=RUN_WITHIN_S)

    assert tasks.state(task, run) != "started"


def test_a_placeholder_without_a_value_is_an_error_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = replace(ROLLUPS[0], template="fences")
    monkeypatch.setattr(rollups, "_filled", _forgetful(rollups._filled))

    with pytest.raises(ConfigError, match=r"fences\.flux: no value for @pipeline@"):
        odd.flux(own_buckets("live"))


def _forgetful(fill: Callable[..., str]) -> Callable[..., str]:
    return lambda template, words: fill(template, {"name": words["name"]})


def served_now(tasks: Tasks, resolution: Resolution) -> list[Values]:
    """Return the served values of the session at a resolution."""
    session: Session = SESSION
    return served(tasks.store, session, [resolution])[resolution]


def _without_vwap(rows: list[Values]) -> list[tuple[object, ...]]:
    return [(*row[:8], row[9]) for row in rows]


def _text(ns: int) -> str:
    return datetime.fromtimestamp(ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
