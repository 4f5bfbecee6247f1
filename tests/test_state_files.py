"""State files: every one that truetape writes and reads back, damaged in every way.

A damaged file is ConfigError with its path, the cure and the runbook's section, never a traceback.
The last tests read the sources: no module reads or writes a file past `host.state_files`.
"""

import ast
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import pytest

import truetape
from support.build import NOON
from truetape.batch.backfill_notes import BackfillNotes
from truetape.batch.backfill_plan import BackfillPlan, OffsetPlan, PlanContents
from truetape.batch.backfill_request import BackfillRequest, Holes
from truetape.deploy.airflow_init import prepare_airflow
from truetape.host import process, state_files
from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.host.settings import Settings
from truetape.quality import report as reports
from truetape.quality.dag_runs import DagRun, record_report, reports_of
from truetape.quality.report import Report, ReportKind
from truetape.schedule import batch_job
from truetape.stack import airflow_config
from truetape.tour.replay import ReplayLedger

SOURCE = Path(truetape.__file__).parent
RUN = DagRun("batch_recompute_XNYS", "scheduled")
PLAN = BackfillPlan(
    OffsetPlan(BackfillRequest(Holes(), "nightly"), "trades", "raw-1", ()), PlanContents()
)
REPORT = Report(
    reports.new_run(NOON), ReportKind.GATE, "XNYS", date(2026, 11, 20), (), {"trades": 1}
)


@dataclass(frozen=True, slots=True)
class StateFile:
    """A state file: `write` returns the path of a whole one, `read` reads it in the product."""

    name: str
    write: Callable[[Settings], Path]
    read: Callable[[Settings], object]
    error: type[TruetapeError] = ConfigError

    def __str__(self) -> str:
        return self.name


def pid_file_of(settings: Settings) -> Path:
    running = process.Running("kafka", "127.0.0.1:1", 4_000_000, "boot/1", 0.0)
    path = process.pid_file(settings, "kafka")
    state_files.write_json(path, asdict(running))
    return path


def ledger_of(settings: Settings) -> Path:
    path = settings.home / "replayed.json"
    ReplayLedger(path).begin("digest", "trades", "trades.csv")
    return path


def begun_plan_of(settings: Settings) -> Path:
    notes = BackfillNotes.of(settings)
    notes.begin(PLAN)
    return notes.folder / f"{PLAN.plan.digest}.json"


def proposed_plan_of(settings: Settings) -> Path:
    notes = BackfillNotes.of(settings)
    notes.propose(PLAN)
    return notes.folder / "proposed" / f"{PLAN.plan.digest}.json"


def report_of(settings: Settings) -> Path:
    return reports.write(settings.home, REPORT)


def entry_of(settings: Settings) -> Path:
    record_report(settings.home, RUN, REPORT)
    return next((settings.home / "quality" / "runs").glob("*.json"))


def passwords_of(settings: Settings) -> Path:
    airflow_config.ensure_passwords(settings)
    return airflow_config.passwords_file(settings)


def outcome_of(settings: Settings) -> Path:
    path = settings.home / "outcome.json"
    state_files.write_json(path, {"records": 3})
    return path


FILES = (
    StateFile("pid file", pid_file_of, lambda own: process.find(process.pid_file(own, "kafka"))),
    StateFile(
        "replayed files",
        ledger_of,
        lambda own: ReplayLedger(own.home / "replayed.json").has("other", "trades"),
    ),
    StateFile("begun backfill", begun_plan_of, lambda own: BackfillNotes.of(own).unfinished()),
    StateFile(
        "proposed backfill",
        proposed_plan_of,
        lambda own: BackfillNotes.of(own).proposed(PLAN.plan.digest),
    ),
    StateFile(
        "quality report",
        report_of,
        lambda own: reports.newest(own.home, ReportKind.GATE, "XNYS", date(2026, 11, 20)),
    ),
    StateFile("report of a DAG run", entry_of, lambda own: reports_of(own.home, RUN)),
    StateFile("passwords of Airflow", passwords_of, airflow_config.passwords),
    StateFile(
        "passwords of the containers",
        passwords_of,
        lambda own: prepare_airflow(airflow_config.passwords_file(own), lambda _: None),
    ),
    StateFile(
        "outcome of a Spark job",
        outcome_of,
        lambda own: batch_job.counts_of(own.home / "outcome.json", "archive"),
        TransientError,  # the file goes with its folder, and the task is safe to repeat
    ),
)

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "blank": lambda _: b" \n",
    "cut": lambda whole: whole[: len(whole) // 2],
    "one byte short": lambda whole: whole.rstrip()[:-1],
    "zeros, as after a power cut": lambda whole: bytes(len(whole)),
    "not UTF-8": lambda _: b"\xff\xfe\x00",
    "not JSON": lambda _: b"<html>",
    "nested without end": lambda _: b"[" * 100_000,
    "null": lambda _: b"null",
    "a number": lambda _: b"5",
    "a text": lambda _: b'"kafka"',
    "a list": lambda _: b"[1, 2]",
    "another object": lambda _: b'{"color": "red", "size": [1]}',
    "an object of numbers": lambda _: b'{"name": 1, "admin": 2, "format": 1}',
}
OBJECTS = ("another object", "an object of numbers")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_damaged_state_file_is_named_with_its_cure(
    file: StateFile, damage: str, settings: Settings
) -> None:
    if file.error is TransientError and damage in OBJECTS:
        pytest.skip("an outcome may have any names")
    path = file.write(settings)
    content = DAMAGES[damage](path.read_bytes())
    path.write_bytes(content)

    with pytest.raises(file.error) as error:
        file.read(settings)

    message = str(error.value)
    if "secrets" not in path.parts or content.strip():
        assert f"{path} is damaged: " in message
        assert message.endswith('see "Damaged state file" in docs/RUNBOOK.md')
    assert str(path) in message
    assert "\n" not in message
    assert path.read_bytes() == content, "a damaged file is left as it is"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_state_file_is_private_and_has_no_leftover(file: StateFile, settings: Settings) -> None:
    path = file.write(settings)

    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(path.parent.glob(".*.new"))


def test_the_message_about_passwords_has_none_of_them(settings: Settings) -> None:
    path = passwords_of(settings)
    path.write_text('{"admin": "s3cret", "operator": 17171717}')

    with pytest.raises(ConfigError, match="wrong: operator") as error:
        airflow_config.passwords(settings)
    assert "s3cret" not in str(error.value)
    assert "17171717" not in str(error.value)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, TransientError),
        (errno.EDQUOT, TransientError),
        (errno.EACCES, ConfigError),
        (errno.EROFS, ConfigError),
    ],
)
def test_a_write_that_fails_leaves_the_file_as_it_was(
    number: int,
    expected: type[TruetapeError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "replayed.json"
    state_files.write_json(path, {"old": 1})

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected, match=str(path)):
        state_files.write_json(path, {"new": 2})

    assert path.read_text() == '{\n "old": 1\n}\n'
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the rename must not leave an empty file under the final name."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    state_files.write_text(tmp_path / "marker.json", "{}")

    assert steps == ["file", "rename", "folder"]


ALLOWED = {
    "batch.spark.package": "a zip file named by its digest, of the program's own sources",
    "broker.boundary": "a record of Kafka",
    "broker.dead_letters": "opens a producer",
    "cli.charts": "opens a browser",
    "cli.recompute": "the file that the user asked for",
    "cli.simulate": "the file that the user asked for",
    "cli.output": "an output that the user names",
    "cli.speed": "JSON made a line before",
    "cli.main": "/dev/null",
    "console.chart_script": "a script of the package akquant-lwc",
    "console.runbook": "a document of the package",
    "dashboards.files": "files of the repository, made by a developer",
    "deploy.health": "an answer of Airflow",
    "drift.chart": "the file that the user asked for",
    "feeds.contract_check": "a line made before",
    "feeds.json_payloads": "payloads",
    "feeds.sample_layout": "payloads",
    "feeds.streams": "files of a feed, named by the user",
    "feeds.strict_json": "payloads",
    "feeds.vendor_bars": "files of a vendor, named by the user",
    "host.declared_yaml": "declared data, with its own errors",
    "host.http": "an answer of a server",
    "host.jars": "a temporary file for Ivy",
    "host.locks": "a lock has no content",
    "host.process": "logs, and the kernel's boot id",
    "host.state_files": "the home of the guard",
    "pipeline.backfill_steps": "arguments of the job",
    "publish.superseded": "a column of the lake",
    "serving.embedded": "columns of the store",
    "serving.http": "an answer of InfluxDB",
    "serving.influxql": "an answer of InfluxDB",
    "serving.rollups": "declared tasks of the package",
    "speed.lease": "opens a producer",
    "stack.airflow_api": "an answer of Airflow",
    "stack.influx_api": "an answer of InfluxDB",
    "stack.influxd": "the log of a build",
    "tour.replay": "digests of the files that are replayed",
    "tour.speed_process": "the log of a driver",
}
"""Modules that read or write files, or parse JSON, past `host.state_files`, and why."""

CALLS = {"write_text", "write_bytes", "read_text", "read_bytes", "open", "loads"}
GUARD = {"read_text", "write_text"}
"""Functions of the guard, which modules call by bare names."""


def file_calls(tree: ast.Module) -> Iterator[str]:
    """Yield the calls that touch a file or parse JSON."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in CALLS:
                yield f"{ast.unparse(value)}.{name}"
            case ast.Call(func=ast.Attribute(value=ast.Name("json"), attr="load")):
                yield "json.load"
            case ast.Call(func=ast.Name(name)) if name in CALLS - GUARD:
                yield name


def modules_with_file_calls() -> dict[str, set[str]]:
    calls = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts): set(
            file_calls(ast.parse(path.read_text("utf-8")))
        )
        for path in SOURCE.rglob("*.py")
    }
    return {module: found for module, found in calls.items() if found}


def test_no_module_touches_a_file_past_the_guard() -> None:
    """A new reader or writer of a state file uses `host.state_files` and joins `FILES`."""
    unknown = {
        module: calls
        for module, calls in modules_with_file_calls().items()
        if module not in ALLOWED
    }
    assert unknown == {}


def test_every_exception_is_still_needed() -> None:
    assert set(ALLOWED) - set(modules_with_file_calls()) == set()
