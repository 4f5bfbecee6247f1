"""Shared by the benchmarks: progress, percentiles, memory of a process tree."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import psutil
from numpy.typing import NDArray
from results import Figure

from truetape.host.errors import VerificationError

_BEGAN = time.monotonic()


def report(line: str) -> None:
    """Write the current step to stderr, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {line}", file=sys.stderr, flush=True)


def quantile(values: NDArray[np.float64], ended: NDArray[np.bool_], share: float) -> Figure:
    """Return the nearest-rank quantile. A wait that has not ended counts with its length so far."""
    order = np.argsort(values, kind="stable")
    at = order[max(0, math.ceil(share * len(values)) - 1)]
    return Figure(float(values[at]), "{:.2f} s", at_least=not ended[at])


def peak_bytes(pid: int) -> int:
    """Return the sum of the peak resident memory (VmHWM) of a process and all its descendants."""
    total = 0
    for one in (pid, *_descendants(pid)):
        lines = _read(Path(f"/proc/{one}/status")).splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1_024
    return total


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and all its descendants, also of those that ended."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            spent = process.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def in_child(
    command: Sequence[str], name: str, within_s: float, env: Mapping[str, str] | None = None
) -> Any:
    """Run a command in a process group of its own; return the JSON of its last line of output.

    The group is killed if the command is cut short, so that no Java is left running. Raise
    VerificationError if it fails.
    """
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True, env=env
    ) as child:
        try:
            output, _ = child.communicate(timeout=within_s)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise VerificationError(f"{name} ended with code {child.returncode}; see above")
    return json.loads(output.splitlines()[-1])


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that every started process is stopped again."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in _read(task / "children").split():
            found += [int(child), *_descendants(int(child))]
    return found


def _read(file: Path) -> str:
    """Return a file of /proc; empty if the thread or process has ended meanwhile."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
