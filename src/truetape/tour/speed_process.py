"""The speed layer as a child process: started, watched by its heartbeat, stopped.

Does not supervise it: a driver that ends stays ended.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.speed.heartbeat import Heartbeat, Phase, newest
from truetape.speed.launcher import command, environment

_POLL_S = 0.3
_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class SpeedProcess:
    """A running driver. It leads its own session, so that a signal reaches Java and Python."""

    settings: Settings
    process: "subprocess.Popen[bytes]"
    log: Path
    started_ns: int

    @classmethod
    def start(cls, settings: Settings) -> Self:
        """Start the driver; do not wait until it is ready."""
        log = settings.home / "logs" / "speed_layer.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        started = time.time_ns()
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command(),
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(settings, process, log, started)

    def heartbeat(self) -> Heartbeat | None:
        """Return this driver's newest heartbeat. None before its query runs."""
        beat = newest(self.settings.kafka, self.settings.topic)
        if beat is None or beat.driver.pid != self.process.pid or beat.beat_ns < self.started_ns:
            return None
        return None if beat.state is Phase.STARTING else beat

    def wait_until_ready(self, within_s: float = 180.0) -> None:
        """Wait for the first heartbeat. Raise TransientError if the driver ends, or sends none."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            self.check()
            if self.heartbeat() is not None:
                return
            time.sleep(_POLL_S)
        raise TransientError(
            f"the speed layer gave no heartbeat within {within_s:.0f} s; see {self.log}"
        )

    def wait_until_read(self, ends: Mapping[int, int], within_s: float) -> Heartbeat:
        """Wait until the driver has read every partition up to `ends`.

        Raise TransientError after `within_s`.
        """
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            self.check()
            beat = self.heartbeat()
            if beat and all(beat.offsets.get(str(part), 0) >= end for part, end in ends.items()):
                return beat
            time.sleep(_POLL_S)
        raise TransientError(
            f"the speed layer did not read to {dict(ends)} within {within_s:.0f} s"
        )

    def check(self) -> None:
        """Raise TransientError with the end of the log if the driver ended."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
            raise TransientError(f"the speed layer ended with code {code}; its log ends:\n{tail}")

    def stop(self, within_s: float = 60.0) -> int:
        """Stop the driver after its batch and return its exit code. Kill it after `within_s`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """Kill the driver and its JVM at once, as a crash would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
