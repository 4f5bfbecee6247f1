"""Suites: rules as data, from `schemas/expectations/*.yaml`. Pure; runs nothing, reads no file."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a failed rule does."""

    GATE = "gate"
    """Nothing is published."""
    FLAG = "flag"
    """It is reported, and publication goes on."""


class Table(StrEnum):
    """What a suite looks at."""

    TRADES = "trades"
    BARS = "bars"
    RECONCILIATION = "reconciliation"
    SERVED = "served"
    FEED = "feed"


Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Named:
    """A value that is known only once there is a session to check, written `$name`."""

    name: str


Argument = Scalar | Named | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of Great Expectations, by its class name, and its arguments."""

    expectation: str
    arguments: Mapping[str, Argument]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the check reads."""
        names: list[str] = []
        for argument in COLUMN_ARGUMENTS:
            value = self.arguments.get(argument, ())
            names += [value] if isinstance(value, str) else [str(name) for name in _list(value)]
        return tuple(names)


@dataclass(frozen=True, slots=True)
class Rule:
    """What rows must keep to. `where` names a yes-or-no column of the frame: only rows with yes."""

    id: str
    severity: Severity
    meaning: str
    source: str
    frame: str
    where: str | None
    checks: tuple[Check, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the checks read, each once; `where` is not one of them."""
        return tuple(dict.fromkeys(name for check in self.checks for name in check.columns))


@dataclass(frozen=True, slots=True)
class Suite:
    """The rules of one table. `digest` is that of the file, so that a changed file is told."""

    id: str
    version: int
    table: Table
    about: str
    rules: tuple[Rule, ...]
    digest: str


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


def _list(value: Argument) -> tuple[Scalar, ...]:
    return value if isinstance(value, tuple) else ()
