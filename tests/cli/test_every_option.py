"""Every argument and option of every verb with values that nobody means: never a traceback."""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from support.absurd import ABSURD, ENDS, QUARTERS, quarter_of
from support.boundary import close_boundary, forbid_waiting
from support.published_home import DATE, ENVIRONMENT, make_published_home
from truetape.cli import main as cli
from truetape.cli.options import Number, Whole
from truetape.host.secret_files import write
from truetape.host.settings import Secret

ALLOWED = {0, 1, 2, 65, 66, 75, 78}
"""The exit codes of docs/RUNBOOK.md. A traceback would end with 1, too; here it fails the test."""
PLAUSIBLE: Mapping[str, str] = {
    "venue": "XNYS",
    "session": DATE,
    "date": DATE,
    "from": DATE,
    "to": "2099-01-01",
    "as-of": f"{DATE}T20:00:00Z",
    "start_ns": f"{DATE}T14:31:00Z",
    "symbol": "IBM",
    "symbols": "IBM",
    "feed": "truetape",
    "profile": "sip",
    "reason": "a test",
    "offsets": "0:1-2",
    "zone": "America/New_York",
    "pattern": "%Y-%m-%d",
    "trades": "10",
    "speed": "1",
    "url": "http://127.0.0.1:1",
    "plot": "plot.html",
    "out": "out.csv",
    "output": "out.csv",
    "resolution": "15m",
    "files": "trades.jsonl",
    "passwords": "passwords.json",
    "password": "password",
}
"""A value that the verbs accept, by the option's or argument's name; numbers are 1 otherwise."""
NEEDED: Mapping[str, Sequence[Sequence[str]]] = {
    "simulate": (["day", "trades"],),
    "backfill": (["holes"], ["start", "end"], ["offsets"]),
    "quality": (["venue", "day"],),
    "event-time": (["zone"],),
    "bars": (["resolution"], ["by"]),
}
"""What a verb needs besides the options that click requires: one line of names for each way."""
OWN: Mapping[tuple[str, str], str] = {
    ("backfill", "from"): f"{DATE}T14:00:00Z",
    ("backfill", "to"): f"{DATE}T15:00:00Z",
    ("show", "from"): f"{DATE}T14:00:00Z",
    ("show", "to"): f"{DATE}T15:00:00Z",
    ("event-time", "shape"): "iso8601",
    ("bars", "by"): "trades=2",
    ("feed check", "contract"): "truetape",
    ("feed show", "name"): "truetape",
    ("feed new", "name"): "acme",
    ("feed new", "sample"): "trades.jsonl",
}


@dataclass(frozen=True, slots=True)
class Verb:
    words: tuple[str, ...]
    command: click.Command

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def valued(self) -> list[click.Parameter]:
        """The parameters that take a value."""
        return [each for each in self.command.params if not _is_flag(each)]

    def line(self, values: Mapping[str, str | None]) -> list[str]:
        """The words of a command line: options, then arguments in their order."""
        options: list[str] = []
        arguments: list[str] = []
        for parameter in self.command.params:
            if parameter.name not in values:
                continue
            value = values[parameter.name]
            if isinstance(parameter, click.Argument):
                arguments.append(str(value))
            elif value is None:
                options.append(parameter.opts[0])
            else:
                options += [f"{parameter.opts[0]}={value}"]
        return [*self.words, *options, "--", *arguments]

    def plausible(self, parameter: click.Parameter) -> str | None:
        """A value that the parameter accepts; None for a flag."""
        if _is_flag(parameter):
            return None
        name = parameter.opts[0].lstrip("-")
        if isinstance(parameter.type, click.Choice) and (str(self), name) not in OWN:
            return str(parameter.type.choices[0])
        return OWN.get((str(self), name), PLAUSIBLE.get(name, "1"))

    def lines(self) -> list[dict[str, str | None]]:
        """The values of a plausible line, for each way in which the verb can be used."""
        return [
            {
                str(each.name): self.plausible(each)
                for each in self.command.params
                if each.required or each.name in names
            }
            for names in NEEDED.get(str(self), ([],))
        ]


def _is_flag(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.is_flag


def verbs(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[Verb]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from verbs(command, (*words, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield Verb((*words, name), command)


VERBS = list(verbs(cli.truetape))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("fuzz")
    make_published_home(home)
    write(home / "secrets" / "influx-password", Secret("of this home"))
    return home


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {**ENVIRONMENT, "TRUETAPE_HOME": str(home), "HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRUETAPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("trades.jsonl", "password", "passwords.json"):
        (tmp_path / name).write_text('{"admin": "a", "operator": "b", "viewer": "c"}')
        (tmp_path / name).chmod(0o600)
    close_boundary(monkeypatch)
    forbid_waiting(monkeypatch)
    return tmp_path


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_plausible_line_is_accepted(verb: Verb, here: Path) -> None:
    """Otherwise the tests below would never get past the first option."""
    for values in verb.lines():
        code, error = run(verb.line(values))
        assert error is None, values
        assert code not in {2, 78}, values


@pytest.mark.parametrize("quarter", QUARTERS)
@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_no_value_of_an_option_gives_a_traceback(verb: Verb, quarter: int, here: Path) -> None:
    problems = [
        problem
        for values in verb.lines()
        for place, parameter in enumerate(verb.valued, VERBS.index(verb))
        for value in quarter_of(ABSURD, quarter, place)
        for problem in _problems(verb.line({**values, str(parameter.name): value}))
    ]
    assert "\n".join(problems) == ""


@pytest.mark.parametrize("quarter", QUARTERS)
@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_no_two_options_together_give_a_traceback(verb: Verb, quarter: int, here: Path) -> None:
    problems = [
        problem
        for values in verb.lines()
        for place, other in enumerate(verb.command.params)
        for parameter in verb.valued
        if other is not parameter and other.name not in values
        # these are checked before the verb begins, whatever the others are
        if not isinstance(parameter.type, (click.Choice, Number, Whole))
        for value in quarter_of(ENDS, quarter, place + len(str(parameter.name)))
        for problem in _problems(
            verb.line(
                {**values, str(other.name): verb.plausible(other), str(parameter.name): value}
            )
        )
    ]
    assert "\n".join(problems) == ""


def _problems(words: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the end of one command line."""
    code, error = run(words)
    if error is not None:
        yield f"{words}: {type(error).__name__}: {error}"[:300]
    elif code not in ALLOWED:
        yield f"{words}: exit code {code}"


def run(words: Sequence[str]) -> tuple[object, BaseException | None]:
    """Return the exit code of a command line, run here with the streams of a pipe; and the error
    of which it would print a traceback.
    """
    streams = sys.argv, sys.stdin, sys.stdout, sys.stderr
    sys.argv = ["truetape", *words]
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"{}\n"), "utf-8")
    sys.stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
    sys.stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    try:
        with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is
            cli.main()
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = streams
    end = raised.value
    return (end.code, None) if isinstance(end, SystemExit) else (1, end)
