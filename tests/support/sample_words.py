"""Draw docstrings, test names and messages at random, to judge how the tree reads.

Changes nothing. The same seed draws the same sample of the same tree:
`python tests/support/sample_words.py --seed 14 --before 979bf7d`.
"""

import argparse
import ast
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"docstring": 20, "test name": 10, "message": 10}
ALIKE = 0.5
"""Texts of two names with a lower similarity have nothing to do with each other."""
FOLDERS = ("src", "dags", "plugins", "spark", "tests")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of prose in the sources. `name` is the module, class or function around it."""

    kind: str
    place: str
    name: str
    text: str


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def sources(revision: str | None) -> Iterator[tuple[str, str]]:
    """Yield path and text of each Python file, of the working tree or of a git revision."""
    listing = ("ls-tree", "-r", "--name-only", revision) if revision else ("ls-files",)
    for path in git(*listing, *(() if revision else ("--",)), *FOLDERS).splitlines():
        if path.endswith(".py"):
            yield path, git("show", f"{revision}:{path}") if revision else (ROOT / path).read_text()


def samples_of(path: str, source: str) -> Iterator[Sample]:
    """Yield every docstring, test name and message of one file."""
    todo: list[tuple[ast.AST, str]] = [(ast.parse(source), Path(path).stem)]
    while todo:
        node, name = todo.pop()
        place = f"{path}:{getattr(node, 'lineno', 1)}"
        if isinstance(node, Function | ast.ClassDef):
            name = node.name
        if isinstance(node, Function) and name.startswith("test_"):
            yield Sample("test name", place, name, name)
        holder = node if isinstance(node, Function | ast.ClassDef | ast.Module) else None
        if holder and (text := ast.get_docstring(holder)):
            yield Sample("docstring", place, name, text.replace("\b", ""))
        yield from (Sample("message", place, name, text) for text in messages(node))
        todo += [(child, name) for child in ast.iter_child_nodes(node)]


def messages(node: ast.AST) -> Iterator[str]:
    """Yield the texts that a raised error or `click.echo` has as arguments."""
    call = node.exc if isinstance(node, ast.Raise) else node
    if not isinstance(call, ast.Call) or not (
        isinstance(node, ast.Raise) or ast.unparse(call.func) == "click.echo"
    ):
        return
    for argument in call.args:
        is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if is_text or isinstance(argument, ast.JoinedStr):
            yield ast.unparse(argument)


def closest(item: Sample, before: list[Sample]) -> Sample | None:
    """Return the most similar text of the same kind, of a function of the same name if any.

    Return None if no text of another name is alike: the item is new.
    """
    same_kind = [old for old in before if old.kind == item.kind]
    same_name = [old for old in same_kind if old.name == item.name]
    _, _, match = max(
        (SequenceMatcher(None, old.text, item.text).quick_ratio(), at, old)
        for at, old in enumerate(same_name or same_kind)
    )
    is_alike = SequenceMatcher(None, match.text, item.text).ratio() > ALIKE
    return match if same_name or is_alike else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--revision", help="draw from this git revision, not the working tree")
    parser.add_argument("--before", help="also print the closest text of this git revision")
    options = parser.parse_args()
    drawn_from = [item for file in sources(options.revision) for item in samples_of(*file)]
    before: list[Sample] = []
    if options.before:
        before = [item for file in sources(options.before) for item in samples_of(*file)]
    generator = random.Random(options.seed)
    print(f"seed {options.seed}, {options.revision or 'working tree'}")
    for kind, count in COUNTS.items():
        population = [item for item in drawn_from if item.kind == kind]
        print(f"\n{count} of {len(population):,} {kind}s")
        for item in generator.sample(population, count):
            print(f"- {item.place} {item.name}\n    {item.text}")
            if options.before:
                match = closest(item, before)
                print(
                    f"  before: {match.place} {match.name}\n    {match.text}" if match else "  new"
                )


if __name__ == "__main__":
    main()
