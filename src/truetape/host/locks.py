"""A lock file between processes: one process has the lock, the others wait.

Needs no clean-up: the kernel releases the lock when its process ends, also when it is killed.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from truetape.host.errors import TransientError

Report = Callable[[str], None]
_POLL_S = 0.1


@contextmanager
def exclusive(path: Path, *, wait_s: float, report: Report) -> Iterator[None]:
    """Lock the file `path` for the block. Report once if another process has the lock.

    Raise TransientError if the other process still has it after `wait_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        _acquire(file.fileno(), path, wait_s, report)
        yield


def _acquire(handle: int, path: Path, wait_s: float, report: Report) -> None:
    give_up = time.monotonic() + wait_s
    waiting = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise TransientError(
                    f"another process has held {path} for {wait_s:.0f} s; let it finish or stop it"
                ) from None
        else:
            return
        if not waiting:
            report(f"waiting for another truetape process that locks {path}")
            waiting = True
        time.sleep(_POLL_S)
