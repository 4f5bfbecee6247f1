"""The live part of the demo: a simulated market now, served under Airflow's supervision.

Does not end with the demo's command: market and speed layer run on until `stop`.
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from truetape.host import process
from truetape.host.errors import TransientError
from truetape.host.process import Program, log_file, pid_file
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.schedule import dag_names
from truetape.serving.store import BarStore, ServedBar
from truetape.speed import launcher
from truetape.speed.control_records import DesiredState
from truetape.speed.supervision import write_command
from truetape.stack.airflow_api import AirflowApi

NAME = "market"
VENUE = "BITSTAMP"
"""A venue that never closes, so that a session is always open."""
SYMBOLS = ("BTCUSD", "ETHUSD", "SOLUSD")
RATE = 20
HOURS = 4
_SERVED_WITHIN_S = 300.0
_STOPPED_WITHIN_S = 60.0
_POLL_S = 1.0

Report = Callable[[str], None]


def start(settings: Settings, api: AirflowApi) -> None:
    """Start the market, and trigger the DAG that starts the speed layer."""
    process.start(market(settings))
    api.unpause(dag_names.SPEED_LAYER)
    api.unpause(dag_names.SPEED_LAYER_CONTROL)
    api.trigger(
        dag_names.SPEED_LAYER_CONTROL, {"action": "start", "reason": "the demo's market is open"}
    )


def market(settings: Settings) -> Program:
    """Return the program that sends the market's trades as they happen, with their faults."""
    command = (
        sys.executable, "-m", "truetape.cli.main", "simulate", "--live", "--kafka",
        "--venue", VENUE, "--symbols", ",".join(SYMBOLS),
        "--rate", str(RATE), "--duration", str(HOURS * 3_600), "--seed", "7",
        "--late", "0.002", "--duplicate", "0.002", "--bad-clock", "0",
    )  # fmt: skip
    return Program(
        name=NAME,
        address=settings.kafka,
        command=command,
        env=launcher.environment(settings),
        cwd=settings.home,
        log=log_file(settings, NAME),
        pid_file=pid_file(settings, NAME),
    )


def wait_until_served(store: BarStore, report: Report) -> ServedBar:
    """Wait for the first bar of the live market and return it. Raise TransientError without one."""
    deadline = time.monotonic() + _SERVED_WITHIN_S
    report("the supervisor starts a driver, which takes Spark half a minute")
    while time.monotonic() < deadline:
        since = time.time_ns() - 60 * SECOND_NS
        for bar in store.tail(Resolution.SECOND, SYMBOLS[0], 1):
            if bar.start_ns > since:
                return bar
        time.sleep(_POLL_S)
    raise TransientError(
        f"no bar of {SYMBOLS[0]} was served within {_SERVED_WITHIN_S:.0f} s; see the run of "
        f"{dag_names.SPEED_LAYER_CONTROL} in Airflow and the log of the speed layer"
    )


def stop(settings: Settings, report: Report) -> None:
    """Stop the market and the speed layer of a demo. Safe to repeat.

    Orders the speed layer to stop first, else a supervisor would start another driver.
    """
    market_running = process.find(pid_file(settings, NAME))
    if market_running is not None:
        process.stop(market_running, within_s=_STOPPED_WITHIN_S)
        report(f"{NAME}: stopped (pid {market_running.pid})")
    driver = process.find(pid_file(settings, launcher.NAME))
    if driver is None:
        return
    with suppress(TransientError):  # without a broker no supervisor starts a driver
        write_command(settings, DesiredState.STOPPED, "the demo is over", "truetape demo")
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    while process.is_alive(driver) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    process.stop(driver, within_s=launcher.TERM_WITHIN_S)
    report(f"{launcher.NAME}: stopped (pid {driver.pid})")
