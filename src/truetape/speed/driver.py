"""A driver's process: which one it is, and whether it lives, as far as this machine can tell."""

import os
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from truetape.host import process


class Life(StrEnum):
    """What this machine knows of a process; `UNSEEN` runs elsewhere, dead or alive."""

    ALIVE = "alive"
    DEAD = "dead"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Driver:
    """A process, told from any other for good: a pid alone is given away again.

    `machine` is where its pid means something: the boot of a kernel and the namespace of pids in
    it. `born` is the boot and the clock tick it was started in.
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
    """Look for a process here. One that is frozen is alive, a zombie is dead."""
    if driver.machine != _machine():
        return Life.UNSEEN
    return Life.ALIVE if process.birth(driver.pid) == driver.born else Life.DEAD


def _machine() -> str:
    boot = (process.birth(os.getpid()) or "").partition("/")[0]
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
