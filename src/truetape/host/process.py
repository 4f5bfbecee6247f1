"""Server processes: start one in its own session, find it again later, stop the whole session.

Knows nothing of Kafka or InfluxDB. A process is identified by its pid and its birth together: if
the kernel gives the pid to another program, that program is never adopted and never signalled.
A server may have child processes (Airflow has a dozen): all of its session ends with it.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.host.state_files import JsonFile, of_type, write_json

_KILLED_WITHIN_S = 10.0
_POLL_S = 0.02
_MAX_LOG_BYTES = 10_000_000
_CLOCK_READS = 5
_MAX_PID = 1 << 31


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started. Put no secret into `command` or `env`."""

    name: str
    address: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    pid_file: Path


@dataclass(frozen=True, slots=True)
class Running:
    """A process that truetape started; `born` is its `birth`."""

    name: str
    address: str
    pid: int
    born: str
    since_s: float

    @property
    def since(self) -> datetime:
        """Return when it was started, in UTC."""
        return datetime.fromtimestamp(self.since_s, UTC)


def _running_of(content: Any) -> Running:
    running = of_type(Running)(content)
    if not 0 < running.pid < _MAX_PID:
        raise ValueError(f"no process has the pid {running.pid}")
    return running


PID_FILE = JsonFile(
    "pid file of truetape", _running_of, "end the program of that name, then remove the file"
)


def pid_file(settings: Settings, name: str) -> Path:
    """Return the file that names the process of a part."""
    return settings.home / "run" / f"{name}.json"


def log_file(settings: Settings, name: str) -> Path:
    """Return the file that takes a part's output."""
    return settings.home / "logs" / f"{name}.log"


def start(program: Program) -> Running:
    """Start the program detached from this process and its terminal, and write its pid file.

    Its output goes to its log; only this user can read the files that it makes. It outlives this
    process. Raise TransientError if it ends at once.
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
    # reads the exit code, so that a server that dies while this process lives leaves no zombie
    threading.Thread(target=child.wait, name=f"reap-{program.name}", daemon=True).start()
    born = birth(child.pid)
    if born is None:
        raise TransientError(f"{program.name} ended at once\n{log_tail(program.log)}")
    running = Running(program.name, program.address, child.pid, born, time.time())
    write_json(program.pid_file, asdict(running))
    return running


def find(pid_file: Path) -> Running | None:
    """Return the process that a pid file names. None if it ended or another program has its pid.

    Waits for the last thread of a killed process, which keeps the port open until then.
    """
    running = read_pid_file(pid_file)
    if running is None:
        return None
    if is_alive(running):
        return running
    _wait_for_threads(running)
    return None


def read_pid_file(pid_file: Path) -> Running | None:
    """Return the process that a pid file names, alive or not. None if there is no such file.

    Raise ConfigError if the file is damaged.
    """
    return PID_FILE.read(pid_file)


def birth(pid: int) -> str | None:
    """Return what distinguishes a process from every other with its pid. None if it has ended.

    It is the boot id of the kernel and the clock ticks from that boot to the process's start. A
    step of the wall clock changes neither; a reboot changes the boot id.
    """
    with suppress(psutil.NoSuchProcess):
        return _birth(pid) if _is_alive(psutil.Process(pid)) else None
    return None


def boot_id() -> str:
    """Return the id of this boot of the kernel, a UUID."""
    return Path(psutil.PROCFS_PATH, "sys/kernel/random/boot_id").read_text().strip()


def is_alive(running: Running) -> bool:
    """True if exactly this process still runs; a zombie does not run."""
    return birth(running.pid) == running.born


def session(running: Running) -> list[int]:
    """Return the pids of the live processes in its session: itself and its descendants.

    The kernel does not reuse a pid that still names a session, so they are ours even after the
    first process of the session has ended.
    """
    return [member.pid for member in _members(running)]


def stop(running: Running, *, within_s: float) -> bool:
    """Terminate the process, then the rest of its session. True if nothing had to be killed.

    The process has `within_s` to end its children in good order, the rest has the same time again.
    Safe to repeat, also if only children are left. Raise TransientError if a kill has no effect.
    """
    leader, members = partial(_leader, running), partial(_members, running)
    for sent, targets, wait_s in (
        (signal.SIGTERM, leader, within_s),
        (signal.SIGTERM, members, within_s),
        (signal.SIGKILL, members, _KILLED_WITHIN_S),
    ):
        if _all_ended(targets, sent, wait_s) and not members():
            _wait_for_threads(running)
            return sent is signal.SIGTERM
    raise TransientError(f"{running.name} (pid {running.pid}) survived a kill; is its disk gone?")


def kill_others() -> None:
    """Kill every other process of the session that this process leads, new ones too.

    Does nothing if another process leads the session: then the others are not ours. Raise
    TransientError if a kill has no effect.
    """
    me = os.getpid()
    this = Running("session", "", me, birth(me) or "", time.time())

    def others() -> list[psutil.Process]:
        return [member for member in _members(this) if member.pid != me]

    if not _all_ended(others, signal.SIGKILL, _KILLED_WITHIN_S):
        raise TransientError(f"processes {[other.pid for other in others()]} survived a kill")


def memory_bytes(running: Running) -> int:
    """Return the memory of its session; a page that processes share counts once (PSS)."""
    total = 0
    for member in _members(running):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            total += member.memory_full_info().pss
    return total


def open_log(log: Path) -> BinaryIO:
    """Open a log to append to it. Rename it to `.log.1` first if it is larger than 10 MB."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def log_tail(log: Path, lines: int = 12) -> str:
    """Return the path and the last lines of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return f"{log} does not exist"
    return "\n".join([f"the end of {log}:", *text.splitlines()[-lines:]])


def needs_linux() -> None:
    """Raise ConfigError on another system: boot id, zombies and PSS are read as Linux has them."""
    if not psutil.LINUX:
        raise ConfigError(
            "the local stack runs on Linux only; run Kafka and InfluxDB elsewhere and set "
            "TRUETAPE_KAFKA and TRUETAPE_INFLUX_URL"
        )


def _birth(pid: int) -> str:
    """Build `birth`, also of a zombie.

    psutil adds the boot time, which follows the wall clock, to the ticks: it is subtracted again.
    Both are read again if the clock stepped between the two reads.
    """
    for _ in range(_CLOCK_READS):
        booted_s = psutil.boot_time()
        created_s = psutil.Process(pid).create_time()
        if psutil.boot_time() == booted_s:
            return f"{boot_id()}/{round((created_s - booted_s) * os.sysconf('SC_CLK_TCK'))}"
    raise TransientError("the system clock steps without pause; repair its synchronisation")


def _is_alive(process: psutil.Process) -> bool:
    return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _leader(running: Running) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(running.pid)] if is_alive(running) else []
    return []


def _members(running: Running) -> list[psutil.Process]:
    if running.born.partition("/")[0] != boot_id() or _is_reused(running):
        return []
    return [member for pid in psutil.pids() if (member := _member(pid, running))]


def _member(pid: int, running: Running) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        process = psutil.Process(pid)
        # read after psutil noted the birth: it signals no later program with this pid
        if os.getsid(pid) == running.pid and _is_alive(process):
            return process
    return None


def _is_reused(running: Running) -> bool:
    """True if the kernel gave the pid to another program."""
    with suppress(psutil.NoSuchProcess):
        return _birth(running.pid) != running.born
    return False


def _all_ended(
    targets: Callable[[], list[psutil.Process]], sent: signal.Signals, wait_s: float
) -> bool:
    """Signal each process once, also new ones, until none is left. False after `wait_s`.

    Once, because some programs read a second SIGTERM as "do not wait for your children".
    `psutil.wait_procs` would miss new processes, and would take the exit code of a child away from
    the Popen that waits for it.
    """
    signalled: set[psutil.Process] = set()
    give_up = time.monotonic() + wait_s
    while processes := targets():
        for process in set(processes) - signalled:
            with suppress(psutil.NoSuchProcess):  # it ended between the look and the signal
                process.send_signal(sent)
        signalled.update(processes)
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_S)
    return True


def _wait_for_threads(running: Running) -> None:
    """Wait until the last thread of an ended process is gone, so that its port is free.

    Until then the process is a zombie with more than one thread.
    """
    give_up = time.monotonic() + _KILLED_WITHIN_S
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(running.pid)
        while not _is_reused(running) and process.num_threads() > 1:
            if time.monotonic() > give_up:
                return
            time.sleep(_POLL_S)


def event_of_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on.

    Arrow would take a signal that comes while it reads a table, and raise its own error.
    """
    import pyarrow as pa

    pa.enable_signal_handlers(False)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
