"""The layout of CSV payloads in a contract: the delimiter, the columns, and what a header may be.

Reads no payload: `csv_text` and the decoders do.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from truetape.feeds.fields import STEP
from truetape.host.declared_yaml import WORD, Declared, Flag, Text, problem


class Header(StrEnum):
    """Whether rows without a header have a meaning: that of the contract's order of columns."""

    OPTIONAL = "optional"
    REQUIRED = "required"


_DELIMITERS = (",", ";", "|", "\t")
OTHER_DELIMITERS = {mark: [each for each in _DELIMITERS if each != mark] for mark in _DELIMITERS}
"""The delimiters that a text may have in place of one."""
_Delimiter = Annotated[
    Literal[",", ";", "|", "\t"],
    BeforeValidator(lambda value: "\t" if value == "tab" else value),
]


class CsvPayload(Declared):
    """Rows by RFC 4180; a header names their columns, in any order and among others.

    Rows without a header have all `columns`, in this order. `aliases`: further names that a header
    may have for a column. `optional`: the columns that are read and that a header may lack.
    """

    columns: tuple[Text, ...]
    delimiter: _Delimiter = ","
    header: Annotated[Header, WORD] = Header.OPTIONAL
    aliases: dict[str, Text] = Field(default_factory=dict)
    ignore_case: Flag = False
    optional: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for place, name in enumerate(self.columns):
            if not STEP.fullmatch(name) or name.isdigit() or name in self.columns[:place]:
                raise problem(f"is {name!r}; use each plain name once", "columns", place)
        for name, column in self.aliases.items():
            if name in self.columns or name != name.strip():
                raise problem("is a column itself, or has blanks around it", "aliases", name)
            if column not in self.columns:
                reason = f"is {column!r}; the columns are {', '.join(self.columns)}"
                raise problem(reason, "aliases", name)
        for place, name in enumerate(self.optional):
            if name not in self.columns:
                reason = f"is {name!r}; the columns are {', '.join(self.columns)}"
                raise problem(reason, "optional", place)
        if self.ignore_case:
            names = [name.lower() for name in (*self.columns, *self.aliases)]
            if len(set(names)) < len(names):
                raise problem("is true, but two names differ only by case", "ignore_case")
        return self
