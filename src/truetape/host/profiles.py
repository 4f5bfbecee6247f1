"""Eligibility profiles: reads `schemas/eligibility/*.yaml`. Judges no print itself."""

import re
from functools import cache
from pathlib import Path

from truetape.host.declared_yaml import Node, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.market.eligibility import Condition, Profile

COUNTS = ("open_close", "high_low", "volume")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def names() -> list[str]:
    """Return the declared profiles, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


@cache
def load(name: str) -> Profile:
    """Return one profile; ConfigError lists the known ones, or names file, line and field."""
    if name not in names():
        raise ConfigError(f"no eligibility profile {name!r}; known are {', '.join(names())}")
    return profile_in(_folder() / f"{name}.yaml")


def profile_in(path: Path) -> Profile:
    """Return the profile of one file; ConfigError names file, line and field.

    Every code that may set open or close must also count for high and low: otherwise a bar's close
    could lie outside its own range. AND keeps that for any combination of codes.
    """
    root = read(path)
    fields = root.mapping(("profile", "version"), ("ignores_conditions", "tables"))
    name = fields["profile"].text()
    if name != path.stem or not _NAME.fullmatch(name):
        fields["profile"].fail(f"is {name!r}; it must be the file's own name, in small letters")
    version = fields["version"].whole(1)
    if "ignores_conditions" in fields and fields["ignores_conditions"].flag():
        if "tables" in fields:
            fields["tables"].fail("has no effect beside ignores_conditions: true; remove one")
        return Profile(name, version, {}, ignores_conditions=True)
    if "tables" not in fields:
        root.fail("lacks 'tables'; or set ignores_conditions: true")
    return Profile(name, version, _tables(fields["tables"]))


def _tables(node: Node) -> dict[str, dict[str, Condition]]:
    """Return the tables by tape; one without tapes must be there, for prints that tell none."""
    tables: dict[str, dict[str, Condition]] = {}
    for item in node.items():
        fields = item.mapping(("name", "tapes", "conditions"), ())
        fields["name"].text()
        for tape in fields["tapes"].texts() or ("",):
            if tape in tables:
                fields["tapes"].fail(f"names tape {tape!r} a second time")
            tables[tape] = _table(fields["conditions"])
    if "" not in tables:
        node.fail("lacks a table with tapes: [], which prints without a tape use")
    return tables


def _table(node: Node) -> dict[str, Condition]:
    table: dict[str, Condition] = {}
    for row in node.items():
        fields = row.mapping(("counts", "codes"), ("auction", "lifts"))
        condition = _condition(fields)
        for code, entry in fields["codes"].mapping().items():
            entry.text()
            if code in table:
                entry.fail("is in two rows of the table; a code has one meaning")
            table[code] = condition
    _check_lifts(node, table)
    return table


def _condition(fields: dict[str, Node]) -> Condition:
    counts = [item.choice(COUNTS) for item in fields["counts"].items()]
    if "open_close" in counts and "high_low" not in counts:
        fields["counts"].fail(
            "has open_close without high_low: a close could leave the bar's range"
        )
    return Condition(
        open_close="open_close" in counts,
        high_low="high_low" in counts,
        volume="volume" in counts,
        auction="auction" in fields and fields["auction"].flag(),
        lifts=frozenset(fields["lifts"].texts()) if "lifts" in fields else frozenset(),
    )


def _check_lifts(node: Node, table: dict[str, Condition]) -> None:
    """Refuse lifts of unknown codes, and chains: what is lifted may not lift, for plainness."""
    lifted = frozenset().union(*(condition.lifts for condition in table.values()))
    for code in sorted(lifted):
        if code not in table:
            node.fail(f"lifts {code!r}, which is no code of this table")
        if table[code].lifts:
            node.fail(f"lifts {code!r}, which lifts others itself; only one step is allowed")


def _folder() -> Path:
    return folder("schemas") / "eligibility"
