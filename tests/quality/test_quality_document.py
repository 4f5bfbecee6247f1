"""The documents list every rule and frame of the suites."""

import re
from pathlib import Path

import pytest

from truetape.quality.frames import FRAMES
from truetape.quality.suite import Severity, load_suite, suite_names

ROOT = Path(__file__).resolve().parents[2]
QUALITY = (ROOT / "docs/QUALITY.md").read_text("utf-8")
LISTS = {"T": 28, "B": 23, "R": 22}
"""The rule lists that the suites come from, with their number of rules."""


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(text: str) -> set[str]:
    """Return the rules that a text names, alone or as a range such as "R5 to R8"."""
    rules = set(re.findall(r"\b[TBRF][0-9]+\b", text))
    for letter, first, last in re.findall(r"\b([TBRF])([0-9]+)`? to `?\1([0-9]+)\b", text):
        rules |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return rules


@pytest.mark.parametrize("name", suite_names())
def test_the_quality_document_lists_every_rule(name: str) -> None:
    suite = load_suite(name)
    section = QUALITY.partition(f"`schemas/expectations/{name}.yaml`")[2].partition("\n##")[0]

    assert f"version {suite.version}: {suite.about}." in section
    expected = [
        [
            rule.id,
            rule.severity,
            rule.meaning,
            rule.frame + (f", where `{rule.where}`" if rule.where else ""),
            rule.source,
        ]
        for rule in suite.rules
    ]
    assert rows(section)[1:] == expected


def test_the_quality_document_lists_every_frame() -> None:
    section = QUALITY.partition("\n## Frames")[2].partition("\n## ")[0]

    assert rows(section)[1:] == [
        [table, f"`{name}`", shape.row, " ".join(shape.keys) or "-", " ".join(shape.values) or "-"]
        for table, frames in FRAMES.items()
        for name, shape in frames.items()
    ]


def test_a_rule_that_is_in_no_suite_has_a_reason() -> None:
    expressed = {rule.id for name in suite_names() for rule in load_suite(name).rules}
    section = QUALITY.partition("\n## Rules that are not expressed")[2].partition("\n## ")[0]
    reasons = set().union(*(numbers(row[0]) for row in rows(section)))

    every = {f"{letter}{n}" for letter, last in LISTS.items() for n in range(1, last + 1)}
    assert every <= expressed | reasons
    assert not expressed & reasons


def test_the_runbook_covers_exactly_the_gate_rules() -> None:
    runbook = (ROOT / "docs/RUNBOOK.md").read_text("utf-8")
    section = runbook.partition("\n## Closed gate")[2].partition("\n## ")[0]
    covered = set().union(*(numbers(row[0]) for row in rows(section)))
    gates = {
        rule.id
        for name in suite_names()
        for rule in load_suite(name).rules
        if rule.severity is Severity.GATE
    }

    assert gates == covered
