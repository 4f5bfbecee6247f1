"""Roll-ups: what a run of each task of `influx/tasks/` costs InfluxDB, as a share of its period.

Writes served minutes of one session, and wider bars of the days before it, to a real InfluxDB on a
private stack; then runs each task as of the session's end, several times. Measures no other load.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median

from freshness import private_stack
from measure import report, stopped_by_signals
from results import Cell, Figure, Table, add_json, cores, share, show, whole

from truetape.host.errors import TransientError, TruetapeError
from truetape.host.settings import Secret, Settings
from truetape.market.resolution import ROLLED_UP, SECOND_NS, Resolution
from truetape.serving.backends import open_store
from truetape.serving.buckets import load_buckets
from truetape.serving.http import InfluxHttp
from truetape.serving.rollups import ROLLUPS, Rollup
from truetape.serving.store import ServedBar

END_NS = 1_772_830_800 * SECOND_NS
"""2026-03-06 21:00 UTC, the close of New York."""
MINUTES = 390
_PER = {"m": 60, "h": 3_600, "s": 1}
_RUN_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Runs of one task."""

    rollup: Rollup
    seconds: float
    rows: int

    def row(self) -> tuple[Cell, ...]:
        """Return the line of the table."""
        period = int(self.rollup.every[:-1]) * _PER[self.rollup.every[-1]]
        name = f"{self.rollup.template} {self.rollup.resolution.value}"
        cost = Figure(self.seconds, "{:.2f} s")
        return name, whole(self.rows), cost, self.rollup.every, share(self.seconds / period)


def main() -> int:
    """Measure and print; return 0 if every run succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--days", type=int, default=5, help="days with 5m and 1h bars before")
    parser.add_argument("--runs", type=int, default=5)
    add_json(parser)
    given = parser.parse_args()
    try:
        with stopped_by_signals(), private_stack() as stack:
            settings = replace(stack, bucket_set="history")
            show([measure(settings, given.symbols, given.days, given.runs)], given)
    except TruetapeError as error:
        print(f"rollups: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(settings: Settings, symbols: int, days: int, runs: int) -> Table:
    """Return the table of all tasks."""
    buckets = load_buckets(settings.bucket_set)
    server = InfluxHttp(
        settings.influx_url, settings.influx_org, _token(settings), timeout_s=60, attempts=3
    )
    with closing(open_store(settings)) as store, closing(server):
        store.ensure_buckets()
        store.ensure_rollups()
        report(f"writing {symbols * MINUTES:,} minutes and the bars of {days} days before them")
        store.write(Resolution.MINUTE, made(symbols, Resolution.MINUTE, MINUTES))
        for resolution in ROLLED_UP:
            count = days * 86_400 // 3 * SECOND_NS // resolution.width_ns
            store.write(resolution, made(symbols, resolution, count))
        listed = server.send_json("GET", "/api/v2/tasks?limit=500")["tasks"]
        ids = {task["name"]: task["id"] for task in listed}
        costs = []
        for rollup in ROLLUPS:
            report(f"running {rollup.name(buckets)} {runs} times")
            seconds = [run_of(server, ids[rollup.name(buckets)]) for _ in range(runs)]
            minutes = 65 if rollup.resolution is Resolution.FIVE_MINUTES else 240
            reach = END_NS - minutes * 60 * 10**9
            rows = sum(1 for _ in store.read(rollup.resolution, reach, END_NS + 1))
            costs.append(Cost(rollup, median(seconds), rows))
    head = ("task", "rows in reach", "one run (median)", "runs every", "share of one core's time")
    return Table(head, [cost.row() for cost in costs], f"{symbols} symbols, {cores()}")


def run_of(server: InfluxHttp, task: str) -> float:
    """Run a task as of the session's end; return its duration in seconds, by the server."""
    path = f"/api/v2/tasks/{task}/runs"
    when = datetime.fromtimestamp(END_NS // SECOND_NS - 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run = server.send_json("POST", path, {"scheduledFor": when})["id"]
    deadline = time.monotonic() + _RUN_WITHIN_S
    while time.monotonic() < deadline:
        state = server.send_json("GET", f"{path}/{run}", accepted={404})
        if state.get("status") == "success":
            return (_instant(state["finishedAt"]) - _instant(state["startedAt"])).total_seconds()
        if state.get("status") == "failed":
            break
        time.sleep(0.1)
    raise TransientError(f"run {run} of task {task} did not succeed; see its log in InfluxDB")


def made(symbols: int, resolution: Resolution, count: int) -> Iterator[ServedBar]:
    """Yield provisional bars up to the end of the session, one for each symbol and width."""
    for symbol in range(symbols):
        for number in range(count):
            start = END_NS - (count - number) * resolution.width_ns
            price = 100.0 + (symbol * 7 + number * 13) % 101 / 4
            yield ServedBar(
                f"S{symbol:03d}", "XNYS", start, price, price + 1, price - 1, price + 0.25,
                500.0 + number, price + 0.125, 9, 0, number, "speed", False, False,
            )  # fmt: skip


def _instant(text: str) -> datetime:
    """Parse a time of InfluxDB, which has up to nine decimals."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")


def _token(settings: Settings) -> Secret:
    return Secret(settings.influx_token_file.read_text().strip())


if __name__ == "__main__":
    sys.exit(main())
