"""Runs the components of Airflow as child processes, and restarts one that ended.

Replaces `airflow standalone`, which forwards no signal, restarts no component, and serves logs on
every address of the machine. Does not import Airflow, so this process stays small.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from truetape.host import log
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.private_home import current_settings
from truetape.host.process import kill_others, log_file, open_log
from truetape.host.settings import Settings

COMPONENTS = {
    "api-server": ("api-server",),
    # a log server listens on every address; on one machine the API server reads the files itself
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
MAX_RESTARTS = 5
WITHIN_S = 600.0
"""If a component ends more than `MAX_RESTARTS` times within this time, Airflow ends: something must
be repaired first.
"""
_POLL_S = 0.5
_END_WITHIN_S = 15.0
"""The scheduler itself waits for running tasks without a bound."""
_MIGRATE_WITHIN_S = 300.0


def may_restart(ends: Sequence[float], now: float) -> bool:
    """True if a component that ended at these times may start again."""
    return sum(1 for end in ends if now - end <= WITHIN_S) <= MAX_RESTARTS


@dataclass(slots=True)
class Component:
    """One component: its process, and when its earlier processes ended."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]"
    ends: list[float] = field(default_factory=list)

    def restart_if_ended(self, now: float) -> None:
        """Restart the component if it ended. Raise TransientError if it ends too often."""
        code = self.process.poll()
        if code is None:
            return
        self.ends.append(now)
        if not may_restart(self.ends, now):
            raise TransientError(
                f"Airflow's {self.name} ended {len(self.ends)} times, last with {code}; "
                f"see {self.log}, then start the stack again"
            )
        log.logger("stack").warning("airflow_component_ended", name=self.name, code=code)
        self.process = _spawn(self.name, self.log)


def run(settings: Settings, stop: threading.Event) -> None:
    """Migrate the database, then keep every component running until `stop` is set."""
    _migrate()
    if stop.is_set():
        return
    files = {name: log_file(settings, f"airflow-{name}") for name in COMPONENTS}
    components = [Component(name, file, _spawn(name, file)) for name, file in files.items()]
    try:
        while not stop.wait(_POLL_S):
            for component in components:
                component.restart_if_ended(time.monotonic())
    finally:
        first, *others = [component.process for component in components]
        _terminate(others)
        _terminate([first])  # last, since tasks report their end to the API server
        # LocalExecutor's workers ignore SIGTERM, and without a scheduler start the next task
        kill_others()


def _migrate() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], timeout=_MIGRATE_WITHIN_S, check=False
    )
    if done.returncode != 0:
        raise TransientError(f"airflow db migrate ended with {done.returncode}; see above")


def _terminate(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        process.terminate()
    give_up = time.monotonic() + _END_WITHIN_S
    for process in processes:
        try:
            process.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spawn(name: str, file: Path) -> "subprocess.Popen[bytes]":
    with open_log(file) as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            [sys.executable, "-m", "airflow", *COMPONENTS[name]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"NO_COLOR": "1"},
        )


def main() -> int:
    """Run until SIGTERM. An expected error becomes one line and an exit code."""
    log.configure(verbose=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        run(current_settings(), stop)
    except TruetapeError as error:
        print(f"airflow: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
