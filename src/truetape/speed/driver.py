"""A driver's process: its identity, and whether it lives, as far as this machine can see.

Starts and stops nothing; the launchers do that.
"""

import os
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from truetape.host import process


class Life(StrEnum):
    """What this machine can see of a process; `UNSEEN` runs elsewhere, dead or alive."""

    ALIVE = "alive"
    DEAD = "dead"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Driver:
    """The identity of a process, unique for good: a pid alone is used again.

    `machine` is where its pid is valid: a boot of a kernel and a pid namespace in it. `born` is
    its `process.birth`.
    """

    host: str
    machine: str
    pid: int
    born: str

    @classmethod
    def of(cls, pid: int, born: str) -> Self:
        """Return a process of this machine."""
        return cls(socket.gethostname(), _machine(), pid, born)

    @classmethod
    def this(cls) -> Self:
        """Return the calling process."""
        pid = os.getpid()
        return cls.of(pid, process.birth(pid) or "")

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


def life_of(driver: Driver) -> Life:
    """Look for a process on this machine. A frozen process is alive, a zombie is dead."""
    if driver.machine != _machine():
        return Life.UNSEEN
    return Life.ALIVE if process.birth(driver.pid) == driver.born else Life.DEAD


def _machine() -> str:
    return f"{process.boot_id()}/{Path('/proc/self/ns/pid').readlink()}"
