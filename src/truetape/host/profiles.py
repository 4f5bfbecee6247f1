"""Eligibility profiles: reads `schemas/eligibility/*.yaml`. Judges no print itself."""

import re
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from truetape.host.declared_yaml import WORD, Declared, FileName, Flag, Text, Version, problem, read
from truetape.host.errors import ConfigError
from truetape.host.resources import schema_file, schema_names
from truetape.market.eligibility import Condition, Profile

_KIND = "eligibility"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


class PrintUse(StrEnum):
    """A part of a bar that a print may set."""

    OPEN_CLOSE = "open_close"
    HIGH_LOW = "high_low"
    VOLUME = "volume"


def names() -> list[str]:
    """Return the names of the declared profiles, sorted."""
    return schema_names(_KIND)


@cache
def load(name: str) -> Profile:
    """Return one profile. Raise ConfigError with the declared names, or with file, line and
    field.
    """
    file = schema_file(_KIND, name) if name in names() else None
    if file is None:
        raise ConfigError(f"no eligibility profile {name!r}; known are {', '.join(names())}")
    return profile_in(file)


def profile_in(path: Path) -> Profile:
    """Return the profile of one file. Raise ConfigError with file, line and field."""
    declared = read(path, _ProfileFile)
    tables = {
        tape: {code: row.condition() for row in table.conditions for code in row.codes}
        for table in declared.tables or ()
        for tape in table.tapes or ("",)
    }
    return Profile(declared.profile, declared.version, tables, declared.ignores_conditions)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"is {name!r}; use up to 32 small letters, digits and -")
    return name


class _Row(Declared):
    """Condition codes that allow the same.

    A code that may set open or close must also count for high and low: otherwise a bar's close
    could lie outside its own range. AND keeps that for any combination of codes.
    """

    counts: tuple[Annotated[PrintUse, WORD], ...]
    codes: dict[str, Text]
    auction: Flag = False
    lifts: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if PrintUse.OPEN_CLOSE in self.counts and PrintUse.HIGH_LOW not in self.counts:
            reason = "has open_close without high_low: a close could leave the bar's range"
            raise problem(reason, "counts")
        return self

    def condition(self) -> Condition:
        return Condition(
            open_close=PrintUse.OPEN_CLOSE in self.counts,
            high_low=PrintUse.HIGH_LOW in self.counts,
            volume=PrintUse.VOLUME in self.counts,
            auction=self.auction,
            lifts=frozenset(self.lifts),
        )


class _Table(Declared):
    name: Text
    tapes: tuple[Text, ...]
    conditions: tuple[_Row, ...]

    @model_validator(mode="after")
    def _check_codes(self) -> Self:
        lifts: dict[str, tuple[str, ...]] = {}
        for place, row in enumerate(self.conditions):
            for code in row.codes:
                if code in lifts:
                    reason = "is in two rows of the table; a code has one meaning"
                    raise problem(reason, "conditions", place, "codes", code)
                lifts[code] = row.lifts
        for code in sorted({code for row in self.conditions for code in row.lifts}):
            if code not in lifts:
                raise problem(f"lifts {code!r}, which is no code of this table", "conditions")
            if lifts[code]:
                reason = f"lifts {code!r}, which lifts others itself; only one step is allowed"
                raise problem(reason, "conditions")
        return self


class _ProfileFile(Declared):
    profile: Annotated[FileName, AfterValidator(_check_name)]
    version: Version
    ignores_conditions: Flag = False
    tables: tuple[_Table, ...] | None = None

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        if self.tables is None and not self.ignores_conditions:
            raise problem("lacks 'tables'; or set ignores_conditions: true")
        if self.tables is not None and self.ignores_conditions:
            raise problem("has no effect beside ignores_conditions: true; remove one", "tables")
        tapes: set[str] = set()
        for place, table in enumerate(self.tables or ()):
            for tape in table.tapes or ("",):
                if tape in tapes:
                    raise problem(f"names tape {tape!r} a second time", "tables", place, "tapes")
                tapes.add(tape)
        if not self.ignores_conditions and "" not in tapes:
            raise problem("lacks a table with tapes: [], for prints without a tape", "tables")
        return self
