"""The documents match the code: links, paths, commands, modules, settings, reasons, exit codes.

Does not judge how they read; `tests/support/sample_words.py` draws a sample for that.
"""

import ast
import inspect
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

import truetape
from support.build import READ_MS
from support.documents import FENCE, anchors, prose
from test_import_law import HOMES, ROOMS
from truetape.cli.main import COMMANDS
from truetape.cli.main import truetape as command_line
from truetape.feeds.contract import read_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.native import encode
from truetape.host.errors import TruetapeError
from truetape.host.setting_rules import BOUNDS
from truetape.host.settings import Settings
from truetape.lake.tables import Table
from truetape.market.rejection import Reason, Rejected

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path(truetape.__file__).parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
DECISIONS = sorted(ROOT.glob("docs/adr/*.md"))
FOLDERS = (
    ".ci", "benchmarks", "dags", "deploy", "docs", "grafana", "influx", "plugins", "schemas",
    "spark", "src", "tests",
)  # fmt: skip
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
IN_CODE = re.compile(r"`([^`\n]+)`")
SHELL_WORDS = {"|", "||", "&&", ";", ">", ">>", "<"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rows(document: str, columns: int) -> Iterator[list[str]]:
    """Yield the cells of every table row of a document with that number of columns."""
    for line in (ROOT / document).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == columns and set(cells[0]) != {"-"}:
            yield cells


FORMER_ROOMS = ("local", "reconcile")
DOTTED = re.compile(rf"`(?:truetape\.)?((?:{'|'.join((*ROOMS, *FORMER_ROOMS))})(?:\.\w+)+)`")
FILE_SUFFIXES = {"csv", "html", "json", "jsonl", "md", "png", "py", "yaml"}


def dotted_names() -> Iterator[tuple[str, list[str]]]:
    """Yield the file and the parts of each `room.module` or `room.module.name` in backticks."""
    code = [path for top in ("src", "tests", "dags", "plugins", "spark", "benchmarks")
            for path in ROOT.glob(f"{top}/**/*.py")]  # fmt: skip
    for file in [*DOCUMENTS, *code, *ROOT.glob("schemas/**/*.yaml")]:
        for dotted in DOTTED.findall(file.read_text("utf-8")):
            parts = dotted.split(".")
            is_table = parts[0] == "lake" and parts[1] in set(Table)
            if parts[-1] not in FILE_SUFFIXES and not is_table:
                yield relative(file), parts


def is_defined(parts: list[str]) -> bool:
    """True if that package or module exists and mentions the names after it."""
    folder, names = SOURCE, list(parts)
    while names and (folder / names[0]).is_dir():
        folder /= names.pop(0)
    if names and (folder / f"{names[0]}.py").exists():
        source = (folder / f"{names.pop(0)}.py").read_text("utf-8")
        return all(re.search(rf"\b{name}\b", source) for name in names)
    return not names


def test_every_module_named_in_backticks_exists() -> None:
    """A renamed module must not keep its old name in a page or a docstring."""
    mentions = list(dotted_names())

    assert mentions
    stale = [f"{file}: {'.'.join(parts)}" for file, parts in mentions if not is_defined(parts)]
    assert not stale, "\n".join(stale)


def code_of(cell: str) -> str | None:
    """Return the text of a cell that is one piece of inline code."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    return match[1] if match else None


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_link_target_exists(document: Path) -> None:
    for target in LINK.findall(prose(document)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


MAX_IMAGE_BYTES = 150_000
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


def images() -> Iterator[tuple[Path, str, Path]]:
    """Yield the document, the alternative text and the file of each image that is shown."""
    for document in DOCUMENTS:
        for text, target in IMAGE.findall(prose(document)):
            yield document, text, (document.parent / target).resolve()


def test_every_shown_image_exists_is_small_and_has_an_alternative_text() -> None:
    shown = list(images())

    assert shown
    for document, text, file in shown:
        assert text, (relative(document), file.name)
        assert file.read_bytes().startswith(b"\x89PNG"), relative(document)
        assert file.stat().st_size < MAX_IMAGE_BYTES, file.name


def test_every_image_file_is_shown() -> None:
    files = {*ROOT.glob("docs/images/*")}

    assert files == {file for _, _, file in images()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_named_file_exists(document: Path) -> None:
    for text in IN_CODE.findall(prose(document)):
        is_path = text.split("/")[0] in FOLDERS and "/" in text and " " not in text
        if is_path and "<" not in text:
            assert list(ROOT.glob(text.rstrip("/"))), text


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield where each call of truetape is shown, in a fenced block or a help text, and the
    words after `truetape`.
    """
    for shown_in, block in [*fenced_blocks(), *helps()]:
        for line in block.replace("\\\n", " ").splitlines():
            if not re.search(r"(^|[ |])truetape( |$)", line) or line.startswith("rejected"):
                continue
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            yield from ((shown_in, call) for call in calls(list(lexer)))


def fenced_blocks() -> Iterator[tuple[str, str]]:
    """Yield the name of the document and the text of each fenced block."""
    for document in DOCUMENTS:
        yield from (
            (relative(document), block) for block in FENCE.findall(document.read_text("utf-8"))
        )


def helps() -> Iterator[tuple[str, str]]:
    """Yield the command, and each paragraph of its help that click does not reflow."""
    for verb, command in every_command(command_line, ()):
        paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
        yield from ((f"{verb} --help", text[2:]) for text in paragraphs if text.startswith("\b\n"))


def every_command(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[str, click.Command]]:
    """Yield a command with its name, and its subcommands."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, (*path, name))


def calls(words: list[str]) -> Iterator[list[str]]:
    """Split the words of a shell line into commands, and yield those of truetape."""
    call: list[str] = []
    for word in [*words, ";"]:
        if word not in SHELL_WORDS:
            call.append(word)
            continue
        while call and re.fullmatch(r"[A-Z_]+=.*", call[0]):
            call.pop(0)
        if call[:1] == ["truetape"]:
            yield call[1:]
        call = []


SHOWN = [
    pytest.param(call, id=f"{shown_in}: {' '.join(call)}"[:90])
    for shown_in, call in shown_commands()
]


@pytest.mark.parametrize("call", SHOWN)
def test_the_command_line_parses_every_shown_command(call: list[str]) -> None:
    command: click.Command = command_line
    context = click.Context(command, info_name="truetape")
    while isinstance(command, click.Group):
        given, rest, _ = command.make_parser(context).parse_args(list(call))
        if not rest:
            break
        name, *call = rest
        subcommand = command.get_command(context, name)
        assert subcommand is not None, f"no command {name}"
        command, context = subcommand, click.Context(subcommand, parent=context, info_name=name)
    if {"--help", "--version"} & set(call):
        return
    given, rest, _ = command.make_parser(context).parse_args(list(call))
    assert not rest
    for parameter in command.params:
        value = given.get(str(parameter.name))
        assert value is not None or not parameter.required, f"lacks {parameter.name}"
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize(
    "help_text",
    [pytest.param(command.help, id=name) for name, command in every_command(command_line, ())],
)
def test_an_unwrapped_paragraph_of_a_help_starts_on_its_own_line(help_text: str | None) -> None:
    """Otherwise click reflows the paragraph and prints the mark."""
    for paragraph in inspect.cleandoc(help_text or "").split("\n\n"):
        assert "\b" not in paragraph.removeprefix("\b\n")


def piped_examples() -> Iterator[tuple[str, list[str]]]:
    """Yield input and arguments of the README's calls that `echo` or `printf` pipes into."""
    for _, name, text, words in re.findall(
        r"^((echo|printf) '(.*)' \| truetape (.*))$", (ROOT / "README.md").read_text(), re.MULTILINE
    ):
        yield text.replace("\\n", "\n") + ("\n" if name == "echo" else ""), words.split()


def test_the_readme_shows_what_its_piped_examples_print() -> None:
    readme, examples = (ROOT / "README.md").read_text("utf-8"), list(piped_examples())

    assert examples
    for text, words in examples:
        printed = CliRunner().invoke(command_line, words, input=text).stdout
        assert printed
        assert all(line in readme for line in printed.splitlines()), printed


def test_the_readme_lists_every_command_once() -> None:
    listed = [code_of(cells[0]) for cells in rows("README.md", 3)]
    verbs = [text.removeprefix("truetape ") for text in listed if text and "truetape " in text]

    assert sorted(verbs) == sorted(COMMANDS)


def test_the_architecture_lists_the_rooms_in_their_order() -> None:
    listed = [code_of(cells[1]) for cells in rows("docs/ARCHITECTURE.md", 4)]

    assert tuple(name for name in listed if name) == ROOMS


def test_the_architecture_names_the_only_home_of_each_heavy_library() -> None:
    homes = {code_of(cells[1]): cells[3] for cells in rows("docs/ARCHITECTURE.md", 4)}
    for library, modules in HOMES.items():
        library_rooms = {module.split(".")[1] for module in modules}
        if len(library_rooms) == 1:
            assert library in homes[library_rooms.pop()], library


class Recorder(Mapping[str, str]):
    """An empty environment that records which names are read."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_setting_is_documented_with_its_default() -> None:
    environment = Recorder()
    settings = Settings.from_env(environment)
    documented = {
        name: code_of(cells[1])
        for cells in rows("docs/SETTINGS.md", 3)
        if (name := code_of(cells[0])) and code_of(cells[1])
    }

    assert set(documented) == environment.names
    port = documented.pop("TRUETAPE_INFLUX_PORT")
    assert documented["TRUETAPE_INFLUX_URL"] == f"http://127.0.0.1:{port}"
    home = str(settings.home)
    for name, value in settings.to_env().items():
        short = value.replace(f"{home}/", "$TRUETAPE_HOME/")
        assert documented[name] == (short.replace(str(Path.home()), "~") or "none"), name


def test_every_bound_is_documented_with_its_reason() -> None:
    documented = {
        name: cells[1:] for cells in rows("docs/SETTINGS.md", 4) if (name := code_of(cells[0]))
    }

    assert documented == {
        f"TRUETAPE_{name.upper()}": [str(bounds.least), str(bounds.most), bounds.why]
        for name, bounds in BOUNDS.items()
    }


def test_the_runbook_lists_exactly_the_rejection_reasons() -> None:
    text = (ROOT / "docs/RUNBOOK.md").read_text("utf-8").partition("## Dead letters")[2]
    section = text.partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)

    assert sorted(listed) == sorted(Reason)


@pytest.mark.parametrize(("document", "columns"), [("README.md", 2), ("docs/RUNBOOK.md", 3)])
def test_every_exit_code_is_explained(document: str, columns: int) -> None:
    codes = {cells[0] for cells in rows(document, columns)}
    raised = {error.exit_code for error in [TruetapeError, *TruetapeError.__subclasses__()]}

    assert {str(code) for code in {0, 2} | raised} <= codes


def test_data_names_the_source_of_every_feed() -> None:
    sources = {code_of(cells[0]): cells[1] for cells in rows("docs/DATA.md", 2)}
    for contract in ROOT.glob("schemas/feeds/*.yaml"):
        source = yaml.safe_load(contract.read_text("utf-8"))["source"]
        assert sources[contract.stem] == source or not source.startswith("http"), contract.stem


def test_the_contract_in_the_feeds_document_decodes_its_samples(tmp_path: Path) -> None:
    text = (ROOT / "docs/FEEDS.md").read_text("utf-8")
    file = tmp_path / "acme.yaml"
    file.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    contract = read_contract(file)
    [sample] = contract.samples
    context = Context("acme", None, None, sample.received_ns, "samples", 0, 0, READ_MS)

    decoded = decode(sample.payload.encode(), contract, context, Limits())
    expected = [json.loads(line) for line in sample.native]
    events = [json.loads(encode(item)) for item in decoded[:2] if not isinstance(item, Rejected)]
    assert events == expected[:2]
    assert [(item.reason, item.index) for item in decoded if isinstance(item, Rejected)] == [
        (expected[2]["reason"], expected[2]["index"])
    ]


def test_the_new_feed_is_checked_and_folded_as_its_document_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs/NEW_FEED.md").read_text("utf-8")
    blocks = [block.partition("\n")[2] for block in text.split("```")[1::2]]
    monkeypatch.chdir(tmp_path)
    Path("acme.jsonl").write_text(next(block for block in blocks if block.startswith('{"pair"')))
    Path("acme.yaml").write_text(next(block for block in blocks if block.startswith("feed: acme")))

    checked = CliRunner().invoke(
        command_line, ["feed", "check", "./acme.yaml", "--data", "acme.jsonl"]
    )
    words = "bars acme.jsonl --feed ./acme.yaml --profile all --resolution 1m"
    folded = CliRunner().invoke(command_line, words.split())

    assert checked.output in blocks
    assert folded.stdout in blocks


NO_MESSAGE = ("truetape ", "pgrep ", "AIRFLOW_HOME=", "Database is locked")
"""How commands begin, and a message of Airflow's."""


def literals() -> str:
    """Return all string literals of the product, with "…" for each value put into one."""
    texts = []
    for file in [*SOURCE.rglob("*.py"), *ROOT.glob("dags/*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…"
                         for part in node.values]  # fmt: skip
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def quoted_messages() -> list[str]:
    """Return the texts of at least three words in the runbook's backticks: no commands."""
    quotes = re.findall(r"`([^`]+)`", prose(ROOT / "docs/RUNBOOK.md"))
    return [quote for quote in quotes if quote.count(" ") > 1 and not quote.startswith(NO_MESSAGE)]


def test_the_runbook_quotes_messages_as_the_product_prints_them() -> None:
    text, messages = literals(), quoted_messages()

    assert messages
    stale = [
        message
        for message in messages
        if not all(fragment.strip() in text for fragment in message.split("…"))
    ]
    assert not stale, "\n".join(stale)


def test_sections_named_in_messages_exist() -> None:
    mentions = [
        (section, document)
        for module in SOURCE.rglob("*.py")
        for section, document in re.findall(
            r'[Ss]ee "([^"]+)" in (docs/\w+\.md)', module.read_text("utf-8")
        )
    ]

    assert mentions
    for section, document in mentions:
        assert section.lower().replace(" ", "-") in anchors(ROOT / document), section


def test_sections_that_dags_and_alerts_link_to_exist() -> None:
    files = [*ROOT.glob("dags/*.py"), *SOURCE.rglob("*.py")]
    named = {
        place
        for file in files
        for place in re.findall(r"docs/(\w+)\.md#([a-z0-9-]+)", file.read_text("utf-8"))
    }

    assert named
    for document, anchor in named:
        assert anchor in anchors(ROOT / "docs" / f"{document}.md"), anchor


def test_documents_named_in_sources_exist() -> None:
    texts = [
        path.read_text("utf-8") for path in [*SOURCE.rglob("*.py"), *ROOT.glob("schemas/**/*.yaml")]
    ]
    for name in {name for text in texts for name in re.findall(r"docs/[A-Z_]+\.md", text)}:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_number_and_three_parts(decision: Path) -> None:
    text = decision.read_text("utf-8")

    assert text.startswith(f"# {int(decision.stem[:4])}. ")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]


def test_decisions_are_numbered_without_gap_or_repeat() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


TABLES_OF_TESTS = (("FAULTS.md", "fault", 30), ("INPUTS.md", "people met", 20))


@pytest.mark.parametrize(("page", "first", "least"), TABLES_OF_TESTS)
def test_every_fault_and_input_names_a_test_that_exists(page: str, first: str, least: int) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / page).read_text("utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(f"| {first} |")
    ]

    assert len(rows) > least
    for case, *cells, tests in rows:
        assert all(cells), case
        names = re.findall(r"`([\w/]+)`", tests)
        assert names or tests == "the same", case
        for name in names:
            assert (ROOT / "tests" / f"{name}.py").exists(), name
