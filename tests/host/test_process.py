"""Processes are told apart by pid and start time, and end when they are asked to, or not."""

import dataclasses
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.wait import until
from truetape.host import process
from truetape.host.errors import ConfigError
from truetape.host.process import Program, Running

SLEEP = ("sleep", "60")
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); time.sleep(60)",
)

DEAF_AND_BUSY = "trap '' TERM; while :; do sleep 60 & sleep 0.05; done"
KILL_OTHERS = "from truetape.host.process import kill_others; kill_others()"
ENDS_WITH_ALL = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM});"
    f"print('ready', flush=True); signal.sigwait({{signal.SIGTERM}}); {KILL_OTHERS}"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start programs that are ended with the test."""
    started: list[Running] = []

    def start_one(*command: str) -> Running:
        program = Program(
            name="sleeper",
            address="127.0.0.1:1",
            command=command,
            env={"PATH": os.environ["PATH"]},
            cwd=tmp_path / "data",
            log=tmp_path / "logs" / "sleeper.log",
            pid_file=tmp_path / "run" / "sleeper.json",
        )
        started.append(process.start(program))
        return started[-1]

    yield start_one
    for running in started:
        process.stop(running, within_s=5)


def stat_line(name: str, state: str) -> str:
    """A line of /proc/PID/stat: pid, name, state, 18 more fields, start time (the 22nd), more."""
    return f"7 ({name}) {state} " + "0 " * 18 + "4711 0 0\n"


def fake_proc(root: Path, line: str) -> Path:
    """A /proc with one process, pid 7."""
    (root / "7").mkdir()
    (root / "7" / "stat").write_text(line)
    (root / "sys/kernel/random").mkdir(parents=True)
    (root / "sys/kernel/random/boot_id").write_text("boot-1\n")
    return root


def test_a_started_process_is_found_again_by_its_pid_file(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(*SLEEP)

    assert process.find(tmp_path / "run" / "sleeper.json") == running


def test_a_started_process_leads_a_session_of_its_own(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)

    assert os.getsid(running.pid) == running.pid


def test_what_a_server_writes_is_for_its_owner_only(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    start("sh", "-c", "touch made; sleep 60")

    made = tmp_path / "data" / "made"
    until(made.exists)
    assert made.stat().st_mode & 0o777 == 0o600


def test_a_process_that_has_ended_is_not_found(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(*SLEEP)
    os.kill(running.pid, 9)

    until(lambda: process.find(tmp_path / "run" / "sleeper.json") is None)


def test_a_reused_pid_is_neither_adopted_nor_killed(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)
    of_yore = dataclasses.replace(running, born="another-boot/1")

    assert not process.is_alive(of_yore)
    assert process.stop(of_yore, within_s=1)
    assert process.is_alive(running)


def test_a_process_that_ends_when_asked_is_not_killed(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)

    assert process.stop(running, within_s=10)
    assert not process.is_alive(running)


def test_a_process_that_ignores_the_request_is_killed(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(*DEAF)
    until(lambda: "deaf" in (tmp_path / "logs" / "sleeper.log").read_text())

    assert not process.stop(running, within_s=0.1)
    assert not process.is_alive(running)


def test_what_is_started_while_a_server_is_killed_ends_too(start: Callable[..., Running]) -> None:
    running = start("sh", "-c", DEAF_AND_BUSY)
    until(lambda: len(process.session(running)) > 4)

    assert not process.stop(running, within_s=0.1)
    assert process.session(running) == []


def test_a_server_that_ends_may_kill_what_is_left_in_its_session(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    """Airflow's workers pass SIGTERM over, and go on without a scheduler."""
    leader = f"{sys.executable} -c {shlex.quote(ENDS_WITH_ALL)}"
    running = start("sh", "-c", f"sh -c {shlex.quote(DEAF_AND_BUSY)} & exec {leader}")
    until(lambda: len(process.session(running)) > 4)
    until(lambda: "ready" in (tmp_path / "logs" / "sleeper.log").read_text())

    os.killpg(running.pid, signal.SIGTERM)

    until(lambda: not process.is_alive(running))
    assert process.session(running) == []


def test_a_process_that_leads_no_session_kills_nobody(start: Callable[..., Running]) -> None:
    follower = f"{sys.executable} -c {shlex.quote(KILL_OTHERS)}"
    running = start("sh", "-c", f"sleep 60 & {follower} && touch done; wait")
    done = Path(f"/proc/{running.pid}/cwd").resolve() / "done"

    until(done.exists)

    assert len(process.session(running)) == 2


def test_what_a_server_has_started_ends_with_it(start: Callable[..., Running]) -> None:
    """Also a process in a group of its own, as Airflow's tasks are."""
    running = start("sh", "-c", "sleep 60 & set -m; sleep 61 & wait")
    until(lambda: len(process.session(running)) == 3)

    assert process.stop(running, within_s=10)
    assert process.session(running) == []


def test_what_a_dead_server_left_behind_is_found_and_stopped(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start("sh", "-c", "sleep 60 & sleep 61 & wait")
    until(lambda: len(process.session(running)) == 3)
    os.kill(running.pid, 9)
    until(lambda: process.find(tmp_path / "run" / "sleeper.json") is None)

    assert len(process.session(running)) == 2
    assert process.stop(running, within_s=10)
    assert process.session(running) == []


def test_a_child_that_left_the_session_lives_on(start: Callable[..., Running]) -> None:
    """The speed layer, which an Airflow task starts, outlives Airflow."""
    running = start("sh", "-c", "setsid sh -c 'echo $$ > left; sleep 60' & wait")
    left = Path(f"/proc/{running.pid}/cwd").resolve() / "left"
    until(lambda: left.exists() and left.read_text().strip() != "")
    pid = int(left.read_text())

    process.stop(running, within_s=10)

    try:
        assert process.birth(pid) is not None
    finally:
        os.killpg(pid, 15)


def test_memory_is_that_of_the_whole_session(start: Callable[..., Running]) -> None:
    hold = "held = bytearray(30_000_000); import time; time.sleep(60)"
    running = start("sh", "-c", f"{sys.executable} -c '{hold}' & sleep 60 & wait")

    until(lambda: process.memory_bytes(running) > 30_000_000)


def test_stopping_twice_is_harmless(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)

    assert process.stop(running, within_s=10)
    assert process.stop(running, within_s=10)


@pytest.mark.parametrize(
    "name", ["java", "a b", "tricky) R 1 (", "("], ids=["plain", "blank", "parentheses", "open"]
)
def test_the_start_time_is_read_whatever_the_program_is_called(name: str, tmp_path: Path) -> None:
    assert process.birth(7, fake_proc(tmp_path, stat_line(name, "S"))) == "boot-1/4711"


def test_a_zombie_does_not_run(tmp_path: Path) -> None:
    assert process.birth(7, fake_proc(tmp_path, stat_line("java", "Z"))) is None


def test_a_torn_pid_file_is_named(tmp_path: Path) -> None:
    torn = tmp_path / "kafka.json"
    torn.write_text('{"pid": 12')

    with pytest.raises(ConfigError, match=r"kafka\.json"):
        process.find(torn)


def test_a_large_log_is_set_aside_at_the_next_start(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    log = tmp_path / "logs" / "sleeper.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(10_000_001)

    start(*SLEEP)

    assert log.stat().st_size == 0
    assert (tmp_path / "logs" / "sleeper.log.1").stat().st_size == 10_000_001


def test_the_tail_of_a_log_names_the_file(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("".join(f"line {n}\n" for n in range(100)))

    assert process.log_tail(log, lines=2) == f"the end of {log}:\nline 98\nline 99"
