"""Shared by the benchmarks: progress, percentiles, memory of a process tree."""

import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from results import Figure

_BEGAN = time.monotonic()


def report(line: str) -> None:
    """Write the current step to stderr, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {line}", file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows of text as a table: the first row is the head, the first column left-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


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
