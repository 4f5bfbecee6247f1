"""One process works, the others wait, and nobody waits for a dead one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from truetape.host.errors import TransientError
from truetape.host.locks import exclusive

HOLDER = """
import sys, time
from pathlib import Path
from truetape.host.locks import exclusive
with exclusive(Path(sys.argv[1]), wait_s=1, report=print):
    print("held", flush=True)
    time.sleep(60)
"""


def test_waiting_for_a_lock_is_reported_once_and_ends_after_its_bound(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "some.lock"

    with (
        exclusive(path, wait_s=1, report=said.append),
        pytest.raises(TransientError, match=r"some\.lock"),
        exclusive(path, wait_s=0.3, report=said.append),
    ):
        pytest.fail("two held it at once")

    assert said == [f"waiting for another truetape process that locks {path}"]


def test_a_lock_is_released_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "some.lock", wait_s=0, report=pytest.fail):
            pass


def test_a_lock_is_released_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=10)

    with exclusive(path, wait_s=0, report=pytest.fail):
        pass
