"""Processes: identified by pid and birth, terminated with their session, killed if they must be."""

import dataclasses
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
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

STUBBORN_PARENT = "trap '' TERM; while :; do sleep 60 & sleep 0.05; done"
KILL_OTHERS = "from truetape.host.process import kill_others; kill_others()"
ENDS_WITH_ALL = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM});"
    f"print('ready', flush=True); signal.sigwait({{signal.SIGTERM}}); {KILL_OTHERS}"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start programs; they are stopped with the test."""
    started: list[Running] = []

    def build(*command: str) -> Running:
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

    yield build
    for running in started:
        process.stop(running, within_s=5)


@dataclass(frozen=True, slots=True)
class FakeProc:
    """A /proc with one process, pid 7, whose start is clock tick 4711 of the boot."""

    root: Path

    def boot(self, boot_id: str, seconds: int) -> None:
        """Boot the kernel at a time of the wall clock, or step the clock by writing another."""
        (self.root / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
        (self.root / "sys/kernel/random/boot_id").write_text(f"{boot_id}\n")
        (self.root / "stat").write_text(f"cpu 0\nbtime {seconds}\n")

    def run(self, name: str, state: str) -> None:
        """Write the /proc/PID/stat of pid 7: name, state, 18 more fields, start time, the rest."""
        (self.root / "7").mkdir(exist_ok=True)
        (self.root / "7" / "stat").write_text(f"7 ({name}) {state} {'0 ' * 18}4711 {'0 ' * 30}\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProc:
    """Let psutil read a /proc of this test."""
    fake = FakeProc(tmp_path / "proc")
    fake.boot("boot-1", 1_764_000_000)
    fake.run("java", "S")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(fake.root))
    return fake


def test_a_started_process_is_found_again_by_its_pid_file(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(*SLEEP)

    assert process.find(tmp_path / "run" / "sleeper.json") == running


def test_a_started_process_leads_a_session_of_its_own(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)

    assert os.getsid(running.pid) == running.pid


def test_files_of_a_server_are_readable_by_their_owner_only(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    start("sh", "-c", "touch made; sleep 60")

    made = tmp_path / "data" / "made"
    until(made.exists)
    assert made.stat().st_mode & 0o777 == 0o600


def test_an_ended_process_is_not_found(start: Callable[..., Running], tmp_path: Path) -> None:
    running = start(*SLEEP)
    os.kill(running.pid, 9)

    until(lambda: process.find(tmp_path / "run" / "sleeper.json") is None)


def test_a_reused_pid_is_neither_adopted_nor_killed(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)
    earlier = dataclasses.replace(running, born="another-boot/1")

    assert not process.is_alive(earlier)
    assert process.stop(earlier, within_s=1)
    assert process.is_alive(running)


def test_a_process_that_ends_on_sigterm_is_not_killed(start: Callable[..., Running]) -> None:
    running = start(*SLEEP)

    assert process.stop(running, within_s=10)
    assert not process.is_alive(running)


def test_a_process_that_ignores_sigterm_is_killed(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(*DEAF)
    until(lambda: "deaf" in (tmp_path / "logs" / "sleeper.log").read_text())

    assert not process.stop(running, within_s=0.1)
    assert not process.is_alive(running)


def test_a_child_started_during_the_kill_is_killed_too(start: Callable[..., Running]) -> None:
    running = start("sh", "-c", STUBBORN_PARENT)
    until(lambda: len(process.session(running)) > 4)

    assert not process.stop(running, within_s=0.1)
    assert process.session(running) == []


def test_a_server_can_kill_the_rest_of_its_session_before_it_ends(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    """Airflow's workers ignore SIGTERM, and go on without a scheduler."""
    leader = f"{sys.executable} -c {shlex.quote(ENDS_WITH_ALL)}"
    running = start("sh", "-c", f"sh -c {shlex.quote(STUBBORN_PARENT)} & exec {leader}")
    until(lambda: len(process.session(running)) > 4)
    until(lambda: "ready" in (tmp_path / "logs" / "sleeper.log").read_text())

    os.killpg(running.pid, signal.SIGTERM)

    until(lambda: not process.is_alive(running))
    assert process.session(running) == []


def test_kill_others_does_nothing_in_a_process_that_leads_no_session(
    start: Callable[..., Running],
) -> None:
    follower = f"{sys.executable} -c {shlex.quote(KILL_OTHERS)}"
    running = start("sh", "-c", f"sleep 60 & {follower} && touch done; wait")
    done = Path(f"/proc/{running.pid}/cwd").resolve() / "done"

    until(done.exists)

    assert len(process.session(running)) == 2


def test_children_of_a_server_end_with_it(start: Callable[..., Running]) -> None:
    """Also a process in a group of its own, as Airflow's tasks are."""
    running = start("sh", "-c", "sleep 60 & set -m; sleep 61 & wait")
    until(lambda: len(process.session(running)) == 3)

    assert process.stop(running, within_s=10)
    assert process.session(running) == []


def test_children_that_a_dead_server_left_are_found_and_stopped(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start("sh", "-c", "sleep 60 & sleep 61 & wait")
    until(lambda: len(process.session(running)) == 3)
    os.kill(running.pid, 9)
    until(lambda: process.find(tmp_path / "run" / "sleeper.json") is None)

    assert len(process.session(running)) == 2
    assert process.stop(running, within_s=10)
    assert process.session(running) == []


def test_a_child_that_left_the_session_keeps_running(start: Callable[..., Running]) -> None:
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


def test_memory_counts_the_whole_session(start: Callable[..., Running]) -> None:
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
def test_the_birth_is_read_whatever_the_program_is_called(name: str, proc: FakeProc) -> None:
    proc.run(name, "S")

    assert process.birth(7) == "boot-1/4711"


@pytest.mark.parametrize("state", ["Z", "X"], ids=["zombie", "dead"])
def test_a_zombie_does_not_run(state: str, proc: FakeProc) -> None:
    proc.run("java", state)

    assert process.birth(7) is None


@pytest.mark.parametrize("step_s", [-86_400, -1, 1, 3_600], ids=str)
def test_a_step_of_the_wall_clock_does_not_change_a_birth(step_s: int, proc: FakeProc) -> None:
    before = process.birth(7)

    proc.boot("boot-1", 1_764_000_000 + step_s)

    assert process.birth(7) == before == "boot-1/4711"


def test_a_clock_step_while_a_birth_is_read_does_not_change_it(
    proc: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot_time = psutil.boot_time
    steps = iter([1_764_000_900, 1_764_000_600])

    def stepping() -> float:
        read = boot_time()
        proc.boot("boot-1", next(steps, 1_764_000_600))
        return read

    monkeypatch.setattr(psutil, "boot_time", stepping)

    assert process.birth(7) == "boot-1/4711"
    assert next(steps, None) is None


def test_the_same_pid_and_tick_after_a_reboot_is_another_process(proc: FakeProc) -> None:
    server = Running("kafka", "127.0.0.1:1", 7, process.birth(7) or "", 0.0)
    assert process.is_alive(server)

    proc.boot("boot-2", 1_764_500_000)

    assert process.birth(7) == "boot-2/4711"
    assert not process.is_alive(server)
    assert process.session(server) == []


def test_a_torn_pid_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    torn = tmp_path / "kafka.json"
    torn.write_text('{"pid": 12')

    with pytest.raises(ConfigError, match=r"kafka\.json"):
        process.find(torn)


def test_a_large_log_is_renamed_at_the_next_start(
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
