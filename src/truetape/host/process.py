"""Server processes: start one in a session of its own, find it again later, stop the session.

Knows nothing of Kafka or InfluxDB. A process is named by its pid and its start time together, so a
pid that the kernel has given to another program is never taken for ours. Linux only (/proc, pidfd).
A server may have processes below it (Airflow has a dozen): whatever is in its session ends with it.
"""

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings

_PROC = Path("/proc")
_KILLED_WITHIN_S = 10.0
_POLL_S = 0.02
_LOG_BYTES_KEPT = 10_000_000


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started. Nothing secret belongs in `command` or `env`."""

    name: str
    address: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    pid_file: Path


@dataclass(frozen=True, slots=True)
class Running:
    """A live process of ours. `born` is the boot and the clock tick it was started in."""

    name: str
    address: str
    pid: int
    born: str
    since_s: float

    @property
    def since(self) -> datetime:
        """When it was started, in UTC."""
        return datetime.fromtimestamp(self.since_s, UTC)


def pid_file(settings: Settings, name: str) -> Path:
    """Return where the process of a part is written down."""
    return settings.home / "run" / f"{name}.json"


def log_file(settings: Settings, name: str) -> Path:
    """Return where a part's output goes."""
    return settings.home / "logs" / f"{name}.log"


def start(program: Program) -> Running:
    """Start the program detached from this process and its terminal, and write its pid file.

    Output goes to its log, files it makes are for this user only. It outlives this process.
    """
    for folder in (program.cwd, program.pid_file.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with open_log(program.log) as log:
        child = subprocess.Popen(  # noqa: S603 - argument list built here, no shell
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=program.cwd,
            env=dict(program.env),
            start_new_session=True,
            umask=0o077,
        )
    # collects the exit code, so that a server that dies while we live leaves no zombie
    threading.Thread(target=child.wait, name=f"reap-{program.name}", daemon=True).start()
    born = birth(child.pid)
    if born is None:
        raise TransientError(f"{program.name} ended at once\n{log_tail(program.log)}")
    running = Running(program.name, program.address, child.pid, born, time.time())
    _write_pid_file(program.pid_file, running)
    return running


def find(pid_file: Path) -> Running | None:
    """Return the process a pid file names, None when it is gone or its pid is another program's.

    Waits for a killed one to be gone for good: it holds its port until its last thread has ended.
    """
    running = last(pid_file)
    if running is None:
        return None
    if is_alive(running):
        return running
    _wait_for_threads(running)
    return None


def is_alive(running: Running) -> bool:
    """Tell whether this very process still runs; a zombie does not."""
    return birth(running.pid) == running.born


def stop(running: Running, *, within_s: float) -> bool:
    """Ask the process to end, then what is left of its session; True when nothing was killed.

    The first has `within_s` to end those below it in good order, the rest as long again. Safe to
    repeat, also when only processes below it are left. TransientError when even a kill has no
    effect.
    """
    for sent, whom, wait_s in (
        (signal.SIGTERM, _leader, within_s),
        (signal.SIGTERM, session, within_s),
        (signal.SIGKILL, session, _KILLED_WITHIN_S),
    ):
        if _ended(running, whom, sent, wait_s) and not session(running):
            _wait_for_threads(running)
            return sent is signal.SIGTERM
    raise TransientError(f"{running.name} (pid {running.pid}) survived a kill; is its disk gone?")


def kill_others() -> None:
    """Kill whatever else is in the session that this process leads, and what that starts meanwhile.

    Does nothing where another process leads: the others are not ours then. TransientError when
    even a kill has no effect.
    """
    me = os.getpid()
    this = Running("session", "", me, birth(me) or "", time.time())

    def others(running: Running) -> list[int]:
        return [pid for pid in session(running) if pid != me]

    if not _ended(this, others, signal.SIGKILL, _KILLED_WITHIN_S):
        raise TransientError(f"processes {others(this)} survived a kill")


def session(running: Running, proc: Path = _PROC) -> list[int]:
    """Return the live processes of its session: itself, and what it and they have started.

    The kernel gives no pid away that names a session, so they are still ours when the first
    process of the session is gone.
    """
    leader = _stat(running.pid, proc)
    if leader is not None and leader.born != running.born:
        return []  # another program has the pid
    boot, _, tick = running.born.partition("/")
    found = {pid: _stat(pid, proc) for pid in _pids(proc)}
    return [
        pid
        for pid, stat in found.items()
        if stat is not None and stat.session == running.pid and stat.is_alive
        if stat.born.startswith(f"{boot}/") and int(stat.born.partition("/")[2]) >= int(tick)
    ]


def last(pid_file: Path) -> Running | None:
    """Return the process that a pid file names, alive or not; None without such a file."""
    try:
        return Running(**json.loads(pid_file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise ConfigError(
            f"{pid_file} is not a pid file of truetape; remove it once no server of that home runs"
        ) from None


def birth(pid: int, proc: Path = _PROC) -> str | None:
    """Return what tells this process from any other with its pid, None when it is not running.

    Boot id and start time in clock ticks since that boot, proc_pid_stat(5) field 22.
    """
    found = _stat(pid, proc)
    return found.born if found is not None and found.is_alive else None


def memory_bytes(running: Running, proc: Path = _PROC) -> int:
    """Return the memory of a server's processes, pages they share counted once (PSS)."""
    return 1024 * sum(_pss_kb(proc / str(pid) / "smaps_rollup") for pid in session(running, proc))


def open_log(log: Path) -> BinaryIO:
    """Open a log to append to; one that has grown large is set aside first."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES_KEPT:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def log_tail(log: Path, lines: int = 12) -> str:
    """Return the path and the last lines of a server's log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return f"{log} does not exist"
    return "\n".join([f"the end of {log}:", *text.splitlines()[-lines:]])


def needs_linux() -> None:
    """Raise ConfigError on a system without /proc and pidfds."""
    if not (_PROC / "self/stat").exists() or not hasattr(os, "pidfd_open"):
        raise ConfigError(
            "the local stack runs on Linux only; run Kafka and InfluxDB elsewhere and set "
            "TRUETAPE_KAFKA and TRUETAPE_INFLUX_URL"
        )


@dataclass(frozen=True, slots=True)
class _Stat:
    """The fields of proc_pid_stat(5) that matter here."""

    state: str
    session: int
    born: str

    @property
    def is_alive(self) -> bool:
        return self.state not in "ZX"


def _stat(pid: int, proc: Path) -> _Stat | None:
    try:
        stat = (proc / str(pid) / "stat").read_text()
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before it may hold anything
    return _Stat(fields[0], int(fields[3]), f"{boot}/{fields[19]}")


def _wait_for_threads(running: Running) -> None:
    """Wait until the last thread of a dead process has ended, so that its port is free."""
    found = _stat(running.pid, _PROC)
    if found is None or found.born != running.born:
        return
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(running.pid)
        select.select([handle], [], [], _KILLED_WITHIN_S)
        os.close(handle)


def _pids(proc: Path) -> list[int]:
    return [int(path.name) for path in proc.iterdir() if path.name.isdecimal()]


def _pss_kb(rollup: Path) -> int:
    try:
        lines = rollup.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _leader(running: Running) -> list[int]:
    return [running.pid] if is_alive(running) else []


def _ended(
    running: Running,
    whom: Callable[[Running], list[int]],
    sent: signal.Signals,
    wait_s: float,
) -> bool:
    """Signal each process once, those too that are started meanwhile, and wait until none is left.

    Once, since for some a second SIGTERM means not to wait for those below them.
    """
    told: set[int] = set()
    give_up = time.monotonic() + wait_s
    while pids := whom(running):
        _signal(running, [pid for pid in pids if pid not in told], sent)
        told.update(pids)
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_S)
    return True


def _signal(running: Running, pids: list[int], sent: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended between the check and the signal
            handle = os.pidfd_open(pid)
            try:
                # asked again with the handle taken: from here on the pid cannot become another's
                if os.getsid(pid) == running.pid:
                    signal.pidfd_send_signal(handle, sent)
            finally:
                os.close(handle)


def _write_pid_file(path: Path, running: Running) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(running)))
    unfinished.replace(path)
