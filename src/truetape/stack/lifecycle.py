"""The local stack as a whole: start it, stop it, report its status.

Knows no server's details. Every call is safe to repeat: a running server is adopted, and a server
that ended is started again.
"""

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from truetape.host import process
from truetape.host.errors import ConfigError, TransientError
from truetape.host.locks import Report, exclusive
from truetape.host.private_home import create_home
from truetape.host.process import Running, log_file, pid_file
from truetape.host.settings import Settings
from truetape.host.storage import no_room
from truetape.stack.airflow_server import AirflowServer
from truetape.stack.influx_server import InfluxServer
from truetape.stack.kafka_server import KafkaServer
from truetape.stack.server import Server, is_listening

PARTS = ("kafka", "influx", "airflow")
_POLL_S = 0.1
_OTHER_CALL_WITHIN_S = 1_800.0
_TERM_WITHIN_S = 30.0


class PartState(StrEnum):
    """The state of a part. `EXTERNAL` and `AWAY` are external servers that answer, or do not."""

    RUNNING = "running"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"
    EXTERNAL = "external"
    AWAY = "away"

    @property
    def is_usable(self) -> bool:
        """True if the pipeline can use the part."""
        return self in (PartState.RUNNING, PartState.EXTERNAL)


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One line of `truetape stack status`; None where a value does not apply."""

    part: str
    state: PartState
    address: str
    pid: int | None
    memory_bytes: int | None
    data_bytes: int | None
    since: datetime | None
    problem: str | None
    sign_in: str | None


def needed_parts(settings: Settings) -> tuple[str, ...]:
    """Return the parts that the settings need: no InfluxDB with the embedded store."""
    unneeded = {"influx"} if settings.store == "embedded" else set()
    if not settings.airflow:
        unneeded.add("airflow")
    return tuple(part for part in PARTS if part not in unneeded)


def up(
    settings: Settings,
    parts: Sequence[str] | None = None,
    report: Report = print,
    *,
    build_influx: bool = False,
) -> None:
    """Start the parts that do not run, adopt the others, and return once all of them answer.

    `parts` None means `needed_parts`. A second call waits for the first. Raise ConfigError if a
    port is taken, or Java or influxd is missing; TransientError if a server does not answer in
    time. After an error the call stops the servers that it started.
    """
    process.needs_linux()
    create_home(settings)
    started = needed_parts(settings) if parts is None else parts
    servers = _servers(settings, started, build_influx=build_influx)
    with _exclusive(settings, report), ExitStack() as undo:
        for server in servers:
            if _start(server, settings, report):
                undo.callback(_stop, server, settings, report)
        for server in servers:
            _make_ready(server, settings, report)
        undo.pop_all()


def down(settings: Settings, report: Report = print) -> None:
    """Stop every server of this home: terminate it, and kill it after a bounded wait.

    Airflow stops first, so that no task starts while its servers stop; Kafka last, since it still
    has records that are not written elsewhere. External servers keep running.
    """
    with _exclusive(settings, report):
        for server in reversed(_servers(settings, PARTS)):
            _stop(server, settings, report)


def status(settings: Settings) -> list[PartStatus]:
    """Check every part now and return its status. Takes seconds if one does not answer."""
    return [_status(server, settings) for server in _servers(settings, PARTS)]


def _servers(
    settings: Settings, parts: Sequence[str], *, build_influx: bool = False
) -> list[Server]:
    by_part: dict[str, Server] = {
        "kafka": KafkaServer(settings),
        "influx": InfluxServer(settings, may_build=build_influx),
        "airflow": AirflowServer(settings),
    }
    unknown = [part for part in parts if part not in by_part]
    if unknown:
        raise ConfigError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return [by_part[part] for part in PARTS if part in parts]


def _exclusive(settings: Settings, report: Report) -> AbstractContextManager[None]:
    lock = settings.home / "stack.lock"
    return exclusive(lock, wait_s=_OTHER_CALL_WITHIN_S, report=report)


def _start(server: Server, settings: Settings, report: Report) -> bool:
    """Start the server unless it runs. True if this call started it."""
    if server.port is None:
        report(f"{server.name}: uses the external server at {server.address}")
        return False
    running = process.find(pid_file(settings, server.name))
    if running is not None:
        if running.address != server.address:
            raise ConfigError(
                f"{server.name} of {settings.home} runs at {running.address}, but the settings "
                f'have {server.address}; run "truetape stack down" first'
            )
        report(f"{server.name}: already runs at {server.address} (pid {running.pid})")
        return False
    _stop_leftovers(server, settings, report)
    if is_listening(server.port):
        raise ConfigError(
            f"port {server.port} is taken by a program that is not this stack's {server.name}; "
            f"stop it, or choose another port with {server.port_setting}"
        )
    program = server.program(report)
    running = process.start(program)
    report(f"{server.name}: started at {server.address} (pid {running.pid})")
    return True


def _make_ready(server: Server, settings: Settings, report: Report) -> None:
    _wait_until_ready(server, settings)
    server.set_up(report)
    problem = server.problem()  # again, now that it has a token
    if problem is not None:
        raise TransientError(f"{server.name} runs, but {problem}")
    report(f"{server.name}: ready")
    if server.sign_in is not None:
        report(f"{server.name}: {server.sign_in}")


def _wait_until_ready(server: Server, settings: Settings) -> None:
    began = time.monotonic()
    log = log_file(settings, server.name)
    while True:
        problem = server.problem()
        waited_s = time.monotonic() - began
        match problem:
            case None:
                return
            case _ if server.port is None:
                raise TransientError(f"the external {server.name} does not work: {problem}")
            case _ if process.find(pid_file(settings, server.name)) is None:
                why = no_room(server.data) or process.log_tail(log)
                raise TransientError(f"{server.name} ended {waited_s:.0f} s after its start\n{why}")
            case _ if waited_s > server.ready_within_s:
                raise TransientError(
                    f"{server.name} is not ready after {waited_s:.0f} s: {problem}\n"
                    f"{process.log_tail(log)}"
                )
        time.sleep(_POLL_S)


def _stop(server: Server, settings: Settings, report: Report) -> None:
    path = pid_file(settings, server.name)
    running = process.find(path)
    if running is None:
        _stop_leftovers(server, settings, report)
    elif process.stop(running, within_s=_TERM_WITHIN_S):
        report(f"{server.name}: stopped (pid {running.pid})")
    else:
        report(f"{server.name}: killed, since it did not end in {_TERM_WITHIN_S:.0f} s")
    path.unlink(missing_ok=True)


def _stop_leftovers(server: Server, settings: Settings, report: Report) -> None:
    """Stop the children that a killed server left: they may still use its port or its data."""
    earlier = process.read_pid_file(pid_file(settings, server.name))
    if earlier is None or not process.session(earlier):
        return
    report(f"{server.name}: stops the processes that an earlier one (pid {earlier.pid}) left")
    process.stop(earlier, within_s=_TERM_WITHIN_S)


def _status(server: Server, settings: Settings) -> PartStatus:
    running = process.find(pid_file(settings, server.name))
    if running is None and server.port is not None:
        problem = no_room(server.data)
        if is_listening(server.port):
            problem = f"port {server.port} is taken by a program that is not this stack's"
        return _part_status(server, PartState.STOPPED, None, problem)
    problem = _problem_of(server)
    if problem is not None and server.port is not None and (full := no_room(server.data)):
        problem = f"{problem}; {full}"
    problem = problem or server.missing()
    if server.port is None:
        return _part_status(
            server, PartState.EXTERNAL if problem is None else PartState.AWAY, None, problem
        )
    return _part_status(
        server, PartState.RUNNING if problem is None else PartState.UNHEALTHY, running, problem
    )


def _problem_of(server: Server) -> str | None:
    try:
        return server.problem()
    except ConfigError as error:
        return str(error)


def _part_status(
    server: Server, state: PartState, running: Running | None, problem: str | None
) -> PartStatus:
    return PartStatus(
        part=server.name,
        state=state,
        address=server.address if running is None else running.address,
        pid=None if running is None else running.pid,
        memory_bytes=None if running is None else process.memory_bytes(running),
        data_bytes=disk_bytes(server.data),
        since=None if running is None else running.since,
        problem=problem,
        sign_in=server.sign_in,
    )


def disk_bytes(folder: Path) -> int | None:
    """Return the size of a folder on disk. None if it does not exist.

    Counts allocated blocks, since InfluxDB's series files are sparse. A file that is deleted
    meanwhile counts 0.
    """
    if not folder.is_dir():
        return None
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(Path(path) / name).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
