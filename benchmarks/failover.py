"""Failover: seconds from `kill -9` of the streaming driver to the first new bar, several times.

A supervisor takes a step every second, as if an asset watcher woke it. Trades arrive all the time.
Changes nothing outside a temporary home.
"""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from freshness import private_stack
from load import Load, kafka_target
from measure import report, stopped_by_signals
from results import Cell, Table, add_json, cores, seconds, show

from truetape.broker import topics
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.settings import Settings
from truetape.speed.control_records import DesiredState
from truetape.speed.heartbeat import Heartbeat, Phase, newest
from truetape.speed.supervision import supervise_once, write_command

GOAL_S = 60.0
_STEP_S = 1.0
_WITHIN_S = 300.0
_SERVED = re.compile(r"\bserved\b.*?\backed_ns=(\d+)")


@dataclass(frozen=True, slots=True)
class Failover:
    """One kill; all times are seconds after it."""

    lease: float
    query: float
    first_bar: float
    caught_up: float

    def row(self, number: int) -> tuple[Cell, ...]:
        """Return the line of the table."""
        times = (self.lease, self.query, self.first_bar, self.caught_up)
        return (str(number), *map(seconds, times))


def main() -> int:
    """Kill the driver again and again; return 0 if each new bar came within the goal."""
    given = _arguments()
    try:
        with stopped_by_signals(), private_stack() as stack:
            settings = replace(stack, speed_engine=given.engine)
            kills = _measure(settings, given.rate, given.times)
    except TruetapeError as error:
        print(f"failover: {error}", file=sys.stderr)
        return error.exit_code
    head = ("kill", "lease taken", "query runs", "first new bar", "caught up")
    rows = [kill.row(number) for number, kill in enumerate(kills, start=1)]
    title = (
        f"Seconds after kill -9 of the engine {given.engine}, {given.rate:,} trades/s meanwhile, "
        f"{cores()}"
    )
    show([Table(head, rows, title)], given)
    return 0 if all(kill.first_bar < GOAL_S for kill in kills) else 1


def _measure(settings: Settings, rate: int, times: int) -> list[Failover]:
    topics.ensure_topics(settings.kafka, settings, report)
    write_command(settings, DesiredState.STARTED, "benchmark", "failover.py")
    seconds_in_all = int(_WITHIN_S) * (times + 1)
    load = Load(kafka_target(settings), rate, seconds_in_all, settings.home / "load")
    with load.running(settings.cache):
        try:
            _supervised(settings, lambda beat: beat.state is Phase.RUNNING and beat.written > 0)
            return [_kill(settings, rate, number) for number in range(1, times + 1)]
        finally:
            write_command(settings, DesiredState.STOPPED, "benchmark is over", "failover.py")
            _supervised(settings, lambda beat: beat.state is Phase.STOPPED)


def _kill(settings: Settings, rate: int, number: int) -> Failover:
    beat = newest(settings.kafka, settings.topic)
    if beat is None:
        raise TransientError("no driver to kill")
    os.killpg(beat.driver.pid, signal.SIGKILL)
    killed_ns, epoch = time.time_ns(), beat.epoch
    report(f"kill {number}: {beat.driver} is dead")
    running = _supervised(settings, lambda b: b.epoch > epoch and b.state is Phase.RUNNING)
    caught_up = _supervised(
        settings, lambda b: b.epoch > epoch and b.written > 0 and sum(b.lag.values()) < rate * 2
    )
    return Failover(
        lease=(running.started_ns - killed_ns) / 1e9,
        query=(running.beat_ns - killed_ns) / 1e9,
        first_bar=(_first_ack(settings.home / "logs" / "speed_layer.log", killed_ns) - killed_ns)
        / 1e9,
        caught_up=(caught_up.beat_ns - killed_ns) / 1e9,
    )


def _supervised(settings: Settings, condition: Callable[[Heartbeat], bool]) -> Heartbeat:
    """Take steps until the newest heartbeat meets a condition; return that heartbeat."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        supervise_once(settings)
        beat = newest(settings.kafka, settings.topic)
        if beat is not None and condition(beat):
            return beat
        time.sleep(_STEP_S)
    raise TransientError(f"the speed layer did not come up within {_WITHIN_S:.0f} s")


def _first_ack(log: Path, after_ns: int) -> int:
    acks = [int(found[1]) for found in map(_SERVED.search, log.read_text().splitlines()) if found]
    return min(ack for ack in acks if ack > after_ns)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="failover.py",
        description="Kill the speed layer's driver and measure how long bars stay away. Needs a "
        "JDK (17 or newer) and starts servers of its own.",
    )
    parser.add_argument("--engine", choices=("spark", "direct"), default="spark")
    parser.add_argument("--times", type=int, default=5, help="how often it is killed")
    parser.add_argument("--rate", type=int, default=500, help="trades a second meanwhile")
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
