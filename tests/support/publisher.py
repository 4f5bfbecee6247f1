"""A publication in a process of its own, which can stop or kill itself before one of its writes.

`python -m support.publisher` publishes a session to the bar store that the environment names.
"""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from support.wait import until
from truetape.host.settings import Settings
from truetape.market.sessions import Session

TESTS = Path(__file__).resolve().parents[1]
WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Trap:
    """Send a signal to the own process right before a write of bars that has `text` in a line.

    `is_checked`: after the check of the publish lock, so between check and write; else before it.
    `elsewhere`: pretend to run on another machine.
    """

    sent: signal.Signals | None = None
    text: str = ""
    is_checked: bool = True
    elsewhere: bool = False


NO_TRAP = Trap()
UNSEALED, SEALED = "final=false", "final=true"


@dataclass(frozen=True, slots=True)
class Publisher:
    """A running publication."""

    process: "subprocess.Popen[str]"

    @property
    def is_stopped(self) -> bool:
        """True if the process is frozen."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

    def wait_until_stopped(self) -> None:
        """Wait until the trap has frozen it."""
        until(lambda: self.process.poll() is not None or self.is_stopped, WITHIN_S)
        assert self.process.poll() is None, self.process.communicate()[0]

    def thaw(self) -> None:
        """Let a frozen publication go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> tuple[int, str]:
        """Wait until it ends; return its exit code and what it printed."""
        output, _ = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, output


@contextmanager
def publishing(
    settings: Settings,
    session: Session,
    trap: Trap = NO_TRAP,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Publisher]:
    """Start a publication, with more variables if given; kill it at the end if it has not ended."""
    sent = "" if trap.sent is None else trap.sent.name
    words = [session.venue, str(session.date), sent, trap.text]
    words += [str(int(trap.is_checked)), str(int(trap.elsewhere))]
    process = subprocess.Popen(
        [sys.executable, "-m", "support.publisher", *words],
        env={**os.environ, **settings.to_env(), "PYTHONPATH": _path(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Publisher(process)
    finally:
        process.kill()
        process.wait()


def _path() -> str:
    known = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(part for part in (str(TESTS), known) if part)


def main(venue: str, day: str, *trap: str) -> int:
    """Publish one session without the gate; return the exit code."""
    from truetape.host.calendars import parse_session
    from truetape.host.errors import TruetapeError
    from truetape.pipeline.publish import PublishOptions, publish_once

    sent, text, is_checked, elsewhere = trap
    if elsewhere == "1":
        _pretend_to_be_elsewhere()
    if sent:
        _set_trap(signal.Signals[sent], text, is_checked=is_checked == "1")
    settings = Settings.from_env()
    options = PublishOptions(gated=False)
    try:
        outcome = publish_once(
            settings, parse_session(venue, day), "tests", "two homes", print, options=options
        )
    except TruetapeError as error:
        print(error)
        return error.exit_code
    print(f"rev {outcome.rev}")
    return 0


def _set_trap(sent: signal.Signals, text: str, *, is_checked: bool) -> None:
    """Wrap the call that sends a write, or the one that builds it, which comes before the check."""
    from truetape.serving.http import InfluxHttp
    from truetape.serving.writer import LineWriter

    armed = [True]

    def spring(lines: str) -> None:
        if armed and lines.startswith("bar,") and text in lines:
            armed.clear()
            os.kill(os.getpid(), sent)

    owner, name = (InfluxHttp, "request") if is_checked else (LineWriter, "_post")
    original = getattr(owner, name)

    def checked(self: Any, *values: Any, **named: Any) -> Any:
        body = named.get("body") or b""
        spring(gzip.decompress(body).decode() if body[:2] == b"\x1f\x8b" else "")
        return original(self, *values, **named)

    def unchecked(self: Any, lines: list[str], *values: Any) -> Any:
        spring("\n".join(lines))
        return original(self, lines, *values)

    setattr(owner, name, checked if is_checked else unchecked)


def _pretend_to_be_elsewhere() -> None:
    from truetape.speed import driver

    driver._machine = lambda: "another machine"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
