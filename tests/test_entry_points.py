"""The rules about settings and the home, tried on every entry point: verbs, Spark jobs, tasks and
DAG files of Airflow, pages of the console.

The lists are read from the code, so that a new entry point is tried, too.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner, Result

import truetape
from truetape.cli.main import truetape as command_line
from truetape.host import private_home
from truetape.host.errors import ConfigError, TransientError
from truetape.speed import entry_point

SOURCE = Path(truetape.__file__).parent
ROOT = SOURCE.parents[1]
SPARK = sorted((ROOT / "spark").glob("*.py"))
DAGS = sorted((ROOT / "dags").glob("*.py"))
PASSWORD = "hunter2"  # noqa: S105 - no real one

BAD_SETTINGS = {
    "a password in an address": ("TRUETAPE_INFLUX_URL", f"http://me:{PASSWORD}@127.0.0.1:1"),
    "a password for Kafka": ("TRUETAPE_KAFKA", f"me:{PASSWORD}@127.0.0.1:1"),
    "a password for the lake": ("TRUETAPE_LAKE", f"s3a://me:{PASSWORD}@bucket/lake"),
    "an unknown venue": ("TRUETAPE_VENUES", "NOPE"),
    "an unknown feed": ("TRUETAPE_FEEDS", "nope"),
    "an absurd number": ("TRUETAPE_SPEED_LATENESS_S", "100000000000"),
}
bad_setting = pytest.mark.parametrize(
    ("variable", "value"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys()
)

NO_SETTINGS = {
    "event-time", "deploy env", "deploy health", "deploy init airflow",
    "feed list", "feed show", "feed check", "feed new",
}  # fmt: skip
"""Verbs that need no setting: they parse text, write files for containers, check a server, or show
contracts.
"""
VALUES = {
    "contract": "truetape", "day": "2026-11-20", "feed": "truetape", "files": "trades.jsonl",
    "name": "truetape", "part": "metadatabase", "sample": "trades.jsonl",
    "password": "password", "passwords": "passwords", "profile": "sip",
    "reason": "a test", "resolution": "1m", "start": "2026-11-20",
    "start_ns": "2026-11-20T14:31:00Z", "symbol": "IBM", "to": "end", "tokens": "tokens",
    "venue": "XNYS",
}  # fmt: skip
"""A value for each parameter that a verb requires, by its name."""
SHAPE = "iso8601"
MORE = {
    "backfill": ("--holes",),
    "event-time": ("--shape", SHAPE),
    "quality": ("--venue", "XNYS", "--session", "2026-11-20"),
    "simulate": ("--kafka", "--date", "2026-11-20"),
}
"""Words that a verb needs besides its required parameters, or in their place."""


def verbs(
    command: click.Command = command_line, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something by itself, and the words that call it."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from verbs(below, (*path, name))


def words(path: tuple[str, ...], command: click.Command) -> list[str]:
    """Return the words of a call that click accepts."""
    name = " ".join(path)
    call = [*path, *MORE.get(name, ())]
    for parameter in command.params:
        if not parameter.required or any(option in call for option in parameter.opts):
            continue
        value = VALUES[str(parameter.name)]
        call += [value] if isinstance(parameter, click.Argument) else [parameter.opts[-1], value]
    return call


VERBS = [pytest.param(words(*verb), id=" ".join(verb[0])) for verb in verbs()]
WITH_SETTINGS = [
    pytest.param(words(*verb), id=" ".join(verb[0]))
    for verb in verbs()
    if " ".join(verb[0]) not in NO_SETTINGS
]


def no_kafka(_: str) -> NoReturn:
    raise TransientError("Kafka is away")


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, an empty folder with a trade file to work in, and no server to reach."""
    monkeypatch.chdir(tmp_path)
    Path("trades.jsonl").touch()
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "KAFKA": "127.0.0.1:1",
        "INFLUX_URL": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(f"TRUETAPE_{name}", value)
    # a driver waits for Kafka to leave its last word
    monkeypatch.setattr(entry_point, "ControlTopic", no_kafka)


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> str:
    """A home that cannot be made private; the words of its refusal."""

    def refuse(_: object) -> None:
        raise ConfigError("the home is open")

    monkeypatch.setattr(private_home, "close_home", refuse)
    return "the home is open"


def invoke(call: list[str]) -> Result:
    return CliRunner().invoke(command_line, call, input="")


def shown(result: Result) -> str:
    """Return everything that a verb shows, with the message that `main` prints."""
    return f"{result.output}\n{result.exception}"


@bad_setting
@pytest.mark.parametrize("call", WITH_SETTINGS)
def test_every_verb_refuses_a_bad_setting_before_it_does_anything(
    call: list[str], variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    result = invoke(call)
    assert isinstance(result.exception, ConfigError), shown(result)
    assert variable in str(result.exception)
    assert PASSWORD not in shown(result)
    assert [path.name for path in tmp_path.iterdir()] == ["trades.jsonl"]


@pytest.mark.parametrize("call", VERBS)
def test_no_verb_prints_a_password_of_an_address(
    call: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*BAD_SETTINGS["a password in an address"])

    assert PASSWORD not in shown(invoke(call))


def test_the_verbs_without_settings_exist() -> None:
    assert {" ".join(path) for path, _ in verbs()} >= NO_SETTINGS


@pytest.fixture
def open_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A token that other users can read; the words of its refusal."""
    token = tmp_path / "token"
    token.write_text(PASSWORD)
    token.chmod(0o644)
    monkeypatch.setenv("TRUETAPE_INFLUX_TOKEN_FILE", str(token))
    return "has mode 0644; make it private: chmod 600"


@pytest.mark.parametrize("call", WITH_SETTINGS)
def test_every_verb_refuses_a_token_that_others_can_read(call: list[str], open_token: str) -> None:
    result = invoke(call)

    assert isinstance(result.exception, ConfigError), shown(result)
    assert open_token in str(result.exception)
    assert PASSWORD not in shown(result)


@pytest.mark.parametrize("call", WITH_SETTINGS)
def test_every_verb_refuses_a_home_that_is_not_private(call: list[str], refusal: str) -> None:
    result = invoke(call)

    assert isinstance(result.exception, ConfigError), shown(result)
    assert refusal in str(result.exception)


def load(file: Path) -> ModuleType:
    """Import a file that is no module of a package."""
    spec = importlib.util.spec_from_file_location(f"tried_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


JOBS = {
    "archive": [],
    "backfill": ["plan", "{}"],
    "recompute": ["--venue", "XNYS", "--session", "2026-11-20"],
    "speed_layer": [],
}


@bad_setting
@pytest.mark.parametrize("file", SPARK, ids=lambda file: file.stem)
def test_every_spark_job_refuses_a_bad_setting_with_78(
    file: Path,
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", [file.name, *JOBS[file.stem]])

    assert load(file).main() == ConfigError.exit_code
    printed = "".join(capsys.readouterr())
    assert variable in printed
    assert PASSWORD not in printed


@pytest.mark.parametrize("file", SPARK, ids=lambda file: file.stem)
def test_every_spark_job_refuses_a_home_that_is_not_private(
    file: Path,
    refusal: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [file.name, *JOBS[file.stem]])

    assert load(file).main() == ConfigError.exit_code
    assert refusal in capsys.readouterr().err


@pytest.mark.parametrize("file", SPARK, ids=lambda file: file.stem)
def test_every_spark_job_refuses_a_token_that_others_can_read(
    file: Path,
    open_token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [file.name, *JOBS[file.stem]])

    assert load(file).main() == ConfigError.exit_code
    assert open_token in capsys.readouterr().err


def reads_settings(node: ast.AST) -> bool:
    return any(
        isinstance(call, ast.Call) and ast.unparse(call.func) == "current_settings"
        for call in ast.walk(node)
    )


def tasks() -> Iterator[tuple[str, str]]:
    """Yield module and name of each function of Airflow's that reads settings."""
    for file in sorted((SOURCE / "schedule").glob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            module = f"truetape.schedule.{file.stem}"
            if isinstance(node, ast.FunctionDef) and reads_settings(node):
                yield module, node.name
            if isinstance(node, ast.ClassDef):
                yield from (
                    (module, f"{node.name}.{method.name}")
                    for method in node.body
                    if isinstance(method, ast.FunctionDef) and reads_settings(method)
                )


TASKS = list(tasks())
DAG_RUN = SimpleNamespace(dag_id="a", run_id="b")
ARGUMENTS = {
    "action": "start", "dag_run": DAG_RUN, "day": "2026-11-20", "reason": "a test", "rev": 1,
    "sessions": [("XNYS", "2026-11-20")], "venue": "XNYS", "who": "me",
}  # fmt: skip


def call_task(module: str, name: str) -> None:
    """Call a function with a value for each parameter; None where it comes from Airflow."""
    task: Callable[..., Any] = getattr(importlib.import_module(module), name.partition(".")[0])
    if "." in name:
        task = getattr(task, name.partition(".")[2])
    given = {
        parameter.name: ARGUMENTS.get(parameter.name)
        for parameter in inspect.signature(task).parameters.values()
        if parameter.default is parameter.empty
    }
    task(**given)


@bad_setting
@pytest.mark.parametrize(("module", "name"), TASKS)
def test_every_task_refuses_a_bad_setting(
    module: str, name: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=variable) as error:
        call_task(module, name)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(("module", "name"), TASKS)
def test_every_task_refuses_a_home_that_is_not_private(
    module: str, name: str, refusal: str
) -> None:
    with pytest.raises(ConfigError, match=refusal):
        call_task(module, name)


@pytest.mark.parametrize(("module", "name"), TASKS)
def test_every_task_refuses_a_token_that_others_can_read(
    module: str, name: str, open_token: str
) -> None:
    with pytest.raises(ConfigError, match=open_token):
        call_task(module, name)


READ_AT_LOAD = {file.stem for file in DAGS if "from_env" in file.read_text("utf-8")}


@bad_setting
@pytest.mark.parametrize("name", sorted(READ_AT_LOAD))
def test_a_dag_file_that_reads_settings_does_not_load_with_a_bad_one(
    name: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow shows the message as the import error of the file."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=variable) as error:
        load(ROOT / "dags" / f"{name}.py")
    assert PASSWORD not in str(error.value)


def routes() -> Iterator[str]:
    from truetape.console.app import router

    for route in router.routes:
        path = str(route.path)  # type: ignore[attr-defined]
        if "/files/" not in path and path != "/runbook":  # our own files, the same for everybody
            yield path


QUERY = {"symbol": "IBM", "venue": "XNYS", "session": "2026-11-20", "start_ns": "1", "dag": "a",
         "run": "b"}  # fmt: skip


@bad_setting
@pytest.mark.parametrize("path", list(routes()))
def test_every_page_of_the_console_refuses_a_bad_setting(
    path: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi.testclient import TestClient

    from truetape.console.app import create

    monkeypatch.setenv(variable, value)

    answer = TestClient(create(access=lambda: None)).get(path, params=QUERY)
    assert answer.status_code == 400
    assert variable in answer.text
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("path", list(routes()))
def test_every_page_of_the_console_refuses_a_home_that_is_not_private(
    path: str, refusal: str
) -> None:
    from fastapi.testclient import TestClient

    from truetape.console.app import create

    answer = TestClient(create(access=lambda: None)).get(path, params=QUERY)
    assert (answer.status_code, refusal in answer.text) == (400, True)


READ_ONLY = {
    "dags/batch_recompute.py": "Airflow parses it again and again; its tasks read settings anew",
    "dags/revert_session.py": "the same",
    "src/truetape/schedule/defaults.py": "DAG files call it while Airflow parses them",
    "src/truetape/batch/spark/package.py": "writes into the cache only, and an image builds it",
    "src/truetape/history/bars.py": "a program of the user, whose umask is not ours",
    "src/truetape/history/trades.py": "the same",
    "src/truetape/tour/demo.py": "reads the defaults only, of nobody's environment",
    "src/truetape/host/jars.py": "writes into the cache only, and an image builds it",
    "src/truetape/host/private_home.py": "it is what the others call",
    "src/truetape/speed/entry_point.py": "reads where to report that the settings were refused",
    "src/truetape/stack/influxd.py": "writes into the cache only",
}
"""Files that read settings and leave home and umask alone, and why."""


def code() -> Iterator[tuple[str, str]]:
    for top in ("src", "spark", "dags", "plugins"):
        for file in sorted((ROOT / top).rglob("*.py")):
            yield str(file.relative_to(ROOT)), file.read_text("utf-8")


def test_everything_else_reads_settings_by_the_function_that_closes_the_home() -> None:
    assert {name for name, text in code() if "Settings.from_env(" in text} == READ_ONLY.keys()


def test_nothing_reads_a_setting_past_the_checks() -> None:
    """A variable TRUETAPE_… that is read by itself would be checked by nobody."""
    past = [
        name
        for name, text in code()
        if "TRUETAPE_" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call | ast.Subscript)
        and ast.unparse(node).startswith(("os.environ", "os.getenv"))
        and "TRUETAPE_" in ast.unparse(node)
    ]

    assert not past
