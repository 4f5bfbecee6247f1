"""Reads suites from `schemas/expectations/*.yaml`; errors name file, line and field."""

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from truetape.host.declared_yaml import Node, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.quality.frames import FRAMES, NAMES, Shape
from truetape.quality.suite import (
    COLUMN_ARGUMENTS,
    EXPECTATIONS,
    Argument,
    Check,
    Named,
    Rule,
    Severity,
    Suite,
    Table,
)

_ID = re.compile(r"[A-Z][0-9]{1,2}")


def names() -> list[str]:
    """Return the declared suites, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


@cache
def load(name: str) -> Suite:
    """Return one suite; ConfigError lists the known ones, or names file, line and field."""
    if name not in names():
        raise ConfigError(f"no suite {name!r}; known are {', '.join(names())}")
    return suite_in(_folder() / f"{name}.yaml")


def suite_in(path: Path) -> Suite:
    """Return the suite of one file; ConfigError names file, line and field.

    A rule can only ask for a frame and columns that there are, by an expectation that it may use:
    a misspelt rule is found here and not by a gate that stays open.
    """
    fields = read(path).mapping(("suite", "version", "table", "about", "rules"), ())
    name = fields["suite"].text()
    if name != path.stem:
        fields["suite"].fail(f"is {name!r}; it must be the file's own name, {path.stem!r}")
    table = Table(fields["table"].choice(tuple(Table)))
    return Suite(
        id=name,
        version=fields["version"].whole(1),
        table=table,
        about=fields["about"].text(),
        rules=tuple(_rules(fields["rules"], table)),
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _rules(node: Node, table: Table) -> Iterator[Rule]:
    seen: set[str] = set()
    for item in node.items():
        rule = _rule(item, table)
        if rule.id in seen:
            item.fail(f"has the id {rule.id!r} of a rule before it")
        seen.add(rule.id)
        yield rule


def _rule(node: Node, table: Table) -> Rule:
    fields = node.mapping(("id", "severity", "meaning", "source", "frame", "checks"), ("where",))
    name = fields["id"].text()
    if not _ID.fullmatch(name):
        fields["id"].fail(f"is {name!r}; write a capital and a number, like T8")
    frame = fields["frame"].choice(tuple(FRAMES[table]))
    shape = FRAMES[table][frame]
    where = fields["where"].choice(shape.columns) if "where" in fields else None
    checks = tuple(
        check
        for item in fields["checks"].items()
        for expectation, arguments in item.mapping().items()
        for check in _checks(expectation, arguments, shape, table)
    )
    if not checks:
        fields["checks"].fail("is empty; a rule that checks nothing always passes")
    return Rule(
        name,
        Severity(fields["severity"].choice(tuple(Severity))),
        fields["meaning"].text(),
        fields["source"].text(),
        frame,
        where,
        checks,
    )


def _checks(expectation: str, node: Node, shape: Shape, table: Table) -> Iterator[Check]:
    """Read one expectation; a list of columns where it takes one column means one check of each."""
    if expectation not in EXPECTATIONS:
        node.fail(f"is no expectation that rules may use; they are {', '.join(EXPECTATIONS)}")
    fields = node.mapping((), EXPECTATIONS[expectation])
    arguments = {name: _argument(field, table) for name, field in fields.items()}
    for name in COLUMN_ARGUMENTS:
        if name in EXPECTATIONS[expectation]:
            _check_columns(node, fields.get(name), arguments.get(name), shape)
    several = arguments.get("column")
    for column in several if isinstance(several, tuple) else [several]:
        chosen = arguments if column is None else arguments | {"column": column}
        yield Check(expectation, chosen)


def _check_columns(node: Node, field: Node | None, value: Argument | None, shape: Shape) -> None:
    if field is None:
        node.fail("lacks the column that it reads")
    for column in value if isinstance(value, tuple) else (value,):
        if column not in shape.columns:
            field.fail(f"names {column!r}; the frame has {', '.join(shape.columns)}")


def _argument(node: Node, table: Table) -> Argument:
    if node.is_list():
        return tuple(item.scalar() for item in node.items())
    value = node.scalar()
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    if value[1:] not in NAMES[table]:
        known = ", ".join(f"${name}" for name in NAMES[table]) or "none"
        node.fail(f"is {value}; names that a rule about {table} may use: {known}")
    return Named(value[1:])


def _folder() -> Path:
    return folder("schemas") / "expectations"
