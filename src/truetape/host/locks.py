"""A lock file between processes: one builds or starts, the others wait for it.

The kernel drops the lock when its holder dies, so a killed process blocks nobody.
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
    """Hold the lock file `path` for the block; reports once if another process holds it.

    TransientError when the other process has not let go after `wait_s` seconds.
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
            report(f"waiting for another truetape process that holds {path}")
            waiting = True
        time.sleep(_POLL_S)
