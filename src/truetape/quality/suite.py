"""Suites: rules as data, read from `schemas/expectations/*.yaml`. Runs no rule.

A rule can only use a frame, columns and an expectation that exist: a misspelt rule is refused when
its file is read, and does not leave a gate open.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from truetape.host.declared_yaml import (
    WORD,
    Declared,
    FileName,
    Plain,
    Text,
    Version,
    problem,
    read,
)
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.quality.frames import FRAMES, NAMES, SuiteTable

COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list")

EXPECTATIONS: Mapping[str, tuple[str, ...]] = {
    "ExpectTableColumnsToMatchSet": ("column_set",),
    "ExpectTableRowCountToBeBetween": ("min_value", "max_value"),
    "ExpectColumnDistinctValuesToContainSet": ("column", "value_set"),
    "ExpectColumnDistinctValuesToEqualSet": ("column", "value_set"),
    "ExpectColumnPairValuesAToBeGreaterThanB": ("column_A", "column_B", "or_equal"),
    "ExpectColumnPairValuesToBeEqual": ("column_A", "column_B"),
    "ExpectColumnValuesToBeBetween": (
        "column", "min_value", "max_value", "strict_min", "strict_max",
    ),
    "ExpectColumnValuesToBeInSet": ("column", "value_set"),
    "ExpectColumnValuesToMatchRegex": ("column", "regex"),
    "ExpectColumnValuesToNotBeInSet": ("column", "value_set"),
    "ExpectColumnValuesToNotBeNull": ("column",),
    "ExpectCompoundColumnsToBeUnique": ("column_list",),
}  # fmt: skip
"""The expectations that rules may use, and the arguments that each takes here.

All are native classes of Great Expectations. Left out on purpose: those that print or store more
than counts and a few rows, and quantiles, whose result cannot be written as JSON in 1.24.
"""

_ID = re.compile(r"[A-Z][0-9]{1,2}")
_WHOLE = re.compile(r"-?[0-9][0-9_]*")
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+")


class Severity(StrEnum):
    """What a failed rule does."""

    GATE = "gate"
    """Nothing is published."""
    FLAG = "flag"
    """The failure is reported, and publication goes on."""


Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Named:
    """A value that only a session to check has, written `$name`."""

    name: str


Argument = Scalar | Named | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class SuiteCheck:
    """One expectation of Great Expectations, by its class name, and its arguments."""

    expectation: str
    arguments: Mapping[str, Argument]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the check reads."""
        return tuple(name for _, name in _columns(self.arguments))


def _scalar(value: object) -> Scalar:
    """Return a value by the way it is written: a quoted one is always a text."""
    if not isinstance(value, str):
        if isinstance(value, int | float):
            return value
        raise ValueError("must be a text")
    if not value:
        raise ValueError("must be a text")
    if not isinstance(value, Plain):
        return value
    if value in ("true", "false"):
        return value == "true"
    if _WHOLE.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else str(value)


def _argument(value: object) -> Argument:
    if isinstance(value, tuple):
        return tuple(map(_scalar, value))
    scalar = _scalar(value)
    is_name = isinstance(scalar, str) and scalar.startswith("$")
    return Named(str(scalar)[1:]) if is_name else scalar


def _check_id(rule_id: str) -> str:
    if not _ID.fullmatch(rule_id):
        raise ValueError(f"is {rule_id!r}; write a capital and a number, like T8")
    return rule_id


_Arguments = dict[str, Annotated[Argument, BeforeValidator(_argument)]]


class SuiteRule(Declared):
    """What rows must satisfy. `where` names a yes-or-no column: only rows with yes are checked."""

    id: Annotated[Text, AfterValidator(_check_id)]
    severity: Annotated[Severity, WORD]
    meaning: Text
    source: Text
    frame: Text
    where: Text | None = None
    expectations: tuple[dict[str, _Arguments], ...] = Field(alias="checks")

    @cached_property
    def checks(self) -> tuple[SuiteCheck, ...]:
        """Return the checks. A list of columns means one check of each, where an expectation takes
        one column.
        """
        return tuple(
            SuiteCheck(name, arguments if column is None else {**arguments, "column": column})
            for declared in self.expectations
            for name, arguments in declared.items()
            for column in _each(arguments.get("column"))
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the checks read, each once; `where` is not one of them."""
        return tuple(dict.fromkeys(name for check in self.checks for name in check.columns))

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        if not any(self.expectations):
            raise problem("is empty; a rule that checks nothing always passes", "checks")
        for place, declared in enumerate(self.expectations):
            for name, arguments in declared.items():
                here = ("checks", place, name)
                if name not in EXPECTATIONS:
                    reason = f"is no expectation that rules may use; they are {_list(EXPECTATIONS)}"
                    raise problem(reason, *here)
                for argument in arguments:
                    if argument not in EXPECTATIONS[name]:
                        reason = f"is not known; known are {_list(EXPECTATIONS[name])}"
                        raise problem(reason, *here, argument)
                if not {*COLUMN_ARGUMENTS} & {*EXPECTATIONS[name]} <= arguments.keys():
                    raise problem("lacks the column that it reads", *here)
        return self


class Suite(Declared):
    """The rules of one table."""

    id: FileName = Field(alias="suite")
    version: Version
    table: Annotated[SuiteTable, WORD]
    about: Text
    rules: tuple[SuiteRule, ...]

    @cached_property
    def digest(self) -> str:
        """Return a digest of the suite, which every change of a rule changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        ids: set[str] = set()
        for place, rule in enumerate(self.rules):
            if rule.id in ids:
                raise problem(f"has the id {rule.id!r} of a rule before it", "rules", place)
            ids.add(rule.id)
            self._check_rule(rule, place)
        return self

    def _check_rule(self, rule: SuiteRule, place: int) -> None:
        frames = FRAMES[self.table]
        if rule.frame not in frames:
            raise problem(
                f"is {rule.frame!r}; write one of {_list(frames)}", "rules", place, "frame"
            )
        columns = frames[rule.frame].columns
        if rule.where is not None and rule.where not in columns:
            raise problem(
                f"is {rule.where!r}; write one of {_list(columns)}", "rules", place, "where"
            )
        for number, declared in enumerate(rule.expectations):
            for name, arguments in declared.items():
                here = ("rules", place, "checks", number, name)
                for argument, column in _columns(arguments):
                    if column not in columns:
                        reason = f"names {column!r}; the frame has {_list(columns)}"
                        raise problem(reason, *here, argument)
                for argument, value in arguments.items():
                    if isinstance(value, Named) and value.name not in NAMES[self.table]:
                        raise problem(self._unknown_name(value), *here, argument)

    def _unknown_name(self, value: Named) -> str:
        usable = ", ".join(f"${name}" for name in NAMES[self.table]) or "none"
        return f"is ${value.name}; names that a rule about {self.table} may use: {usable}"


def suite_names() -> list[str]:
    """Return the names of the declared suites, sorted."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


@cache
def load_suite(name: str) -> Suite:
    """Return one suite. Raise ConfigError with the declared names, or with file, line and field."""
    if name not in suite_names():
        raise ConfigError(f"no suite {name!r}; known are {_list(suite_names())}")
    return read_suite(_folder() / f"{name}.yaml")


def read_suite(path: Path) -> Suite:
    """Return the suite of one file. Raise ConfigError with file, line and field."""
    return read(path, Suite)


def _columns(arguments: Mapping[str, Argument]) -> list[tuple[str, str]]:
    """Return the columns that an expectation reads, each with the argument that names it."""
    named = [(name, arguments[name]) for name in COLUMN_ARGUMENTS if name in arguments]
    return [(name, str(column)) for name, value in named for column in _each(value)]


def _each(value: Argument | None) -> tuple[Argument | None, ...]:
    return value if isinstance(value, tuple) else (value,)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _folder() -> Path:
    return folder("schemas") / "expectations"
