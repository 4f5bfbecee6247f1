"""Fields of a contract: where a record has a value, and how the value is written.

Reads no value: `values` and the decoders do.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from truetape.feeds.values import CODE, TEXT, ConditionsForm, Sign
from truetape.host.declared_yaml import WORD, Declared, Flag, Text, problem
from truetape.host.venues import how_to_add, venues
from truetape.market.event_time import EPOCHS, Shape, TimeSpec, require_date_pattern

EACH = "[]"
"""The step into each item of a list."""
STEP = re.compile(r"[A-Za-z0-9_-]+")
_SCALE = re.compile(r"1|0\.(0{0,8})1")


class Origin(StrEnum):
    """Where a path starts: in the record, in the payload around it, or beside the payload."""

    RECORD = "record"
    PAYLOAD = "payload"
    KEY = "key"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Path:
    """The way to one value: a step of digits is a position in an array, any other is a name.

    `otherwise` is where to look when nothing is there.
    """

    origin: Origin
    steps: tuple[str, ...] = ()
    otherwise: "Path | None" = None

    @property
    def ways(self) -> "tuple[Path, ...]":
        """Return the alternatives in order, each alone."""
        rest = self.otherwise.ways if self.otherwise else ()
        return (replace(self, otherwise=None), *rest)

    def __str__(self) -> str:
        match self.origin:
            case Origin.RECORD:
                text = ".".join(self.steps)
            case Origin.PAYLOAD:
                text = ".".join(("$", *self.steps))
            case _:
                text = f"${self.origin}"
        return f"{text}|{self.otherwise}" if self.otherwise else text


def _path(value: object) -> object:
    """Parse a path; alternatives are written first|second."""
    if not isinstance(value, str):
        return value
    path: Path | None = None
    for text in reversed(value.split("|")):
        if text in ("$key", "$name"):
            path = Path(Origin(text[1:]), otherwise=path)
        elif text.startswith("$."):
            path = Path(Origin.PAYLOAD, steps_of(text[2:], value), path)
        else:
            path = Path(Origin.RECORD, steps_of(text, value), path)
    return path


def steps_to_lists(text: str) -> tuple[str, ...]:
    """Return the steps to the records of a payload; `name[]` steps into each item of a list."""
    plain = steps_of(text.replace("[]", ""), text)
    steps: list[str] = []
    for name, written in zip(plain, text.split("."), strict=True):
        if written not in (name, f"{name}{EACH}"):
            raise ValueError(f"is {text!r}; write [] once, at the end of a name")
        steps += [name] if written == name else [name, EACH]
    return tuple(steps)


def steps_of(text: str, whole: str) -> tuple[str, ...]:
    """Return the steps of a way; `whole` is the text that a message shows."""
    steps = tuple(text.split("."))
    if not all(STEP.fullmatch(step) for step in steps):
        raise ValueError(f"is {whole!r}; write names or positions joined by dots")
    return steps


def _check_venue(code: str) -> str:
    if code not in venues():
        raise ValueError(f"is {code!r}, which no venues.yaml has; {how_to_add(code)}")
    return code


def _check_text(text: str) -> str:
    if not TEXT.fullmatch(text):
        raise ValueError(f"is {text!r}; use a short plain text")
    return text


def _check_prefix(text: str) -> str:
    if not CODE.fullmatch(text):
        raise ValueError(f"is {text!r}; use letters and digits")
    return text


def _condition_code(value: object) -> object:
    if isinstance(value, str) and not CODE.fullmatch(value):
        raise ValueError(f"is {value!r}; write a condition code, or none")
    return None if value == "none" else value


def _check_scale(text: str) -> str:
    if not _SCALE.fullmatch(text):
        raise ValueError(f"is {text!r}; write 1 or a power of ten down to 0.000000001")
    return text


DeclaredPath = Annotated[Path, BeforeValidator(_path)]
_Venue = Annotated[Text, AfterValidator(_check_venue)]
_ShortText = Annotated[Text, AfterValidator(_check_text)]
_ConditionCodes = dict[str, Annotated[str | None, BeforeValidator(_condition_code)]]


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class _PathField(Declared):
    """A field that may be written as its path alone."""

    path: DeclaredPath

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value


class SymbolSuffix(_PathField):
    """A second part of the symbol, as of a class of shares; left out where it is absent."""

    after: Annotated[Text, AfterValidator(_check_text)] = "."


class SymbolField(_PathField):
    """The symbol, with its `suffix` if it stands apart. The first of the prefixes that it has is
    taken away (a channel's name); `rename` has symbols that get another name.
    """

    suffix: SymbolSuffix | None = None
    strip_prefix: Annotated[tuple[Text, ...], BeforeValidator(_one_or_more)] = ()
    upper: Flag = False
    rename: dict[str, Text] | None = None


class VenueField(Declared):
    """The bar's market: one for the feed, or read and translated; `default` where it is absent."""

    path: DeclaredPath | None = None
    const: _Venue | None = None
    codes: dict[str, _Venue] | None = None
    default: _Venue | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.path is None) == (self.const is None):
            raise ValueError("needs either 'path' or 'const'")
        return self


class IdPart(_PathField):
    """One part of an id; a part that is not required is left out where it is absent."""

    required: Flag = True


class IdField(Declared):
    """The trade id, joined by ":" where a feed's ids are unique only together with other fields."""

    parts: tuple[IdPart, ...] = Field(alias="join")

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, value: object) -> object:
        is_part = isinstance(value, str) or (isinstance(value, dict) and "join" not in value)
        return {"join": (value,)} if is_part else value


class DateField(_PathField):
    """A date of its own, as 2026-11-20, 20261120, or as the pattern says."""

    pattern: Text | None = None

    @model_validator(mode="after")
    def _check_pattern(self) -> Self:
        try:
            if self.pattern is not None:
                require_date_pattern(self.pattern)
        except ValueError as error:
            raise problem(f"is {self.pattern!r}: {error}", "pattern") from None
        return self


class TimeField(Declared):
    """A time and its shape; `integer` is the shape of values that are all digits.

    `date` is where the date of a time of day is. A receipt time that is `unrecorded_only` counts
    where none was recorded beside the payload.
    """

    path: DeclaredPath
    shape: Annotated[Shape, WORD]
    zone: Text | None = None
    pattern: Text | None = None
    integer: Annotated[Shape, WORD] | None = None
    date: DateField | None = None
    unrecorded_only: Flag = False

    @cached_property
    def spec(self) -> TimeSpec:
        """Return how to read a value."""
        return TimeSpec(self.shape, self.zone, self.pattern)

    @cached_property
    def integer_spec(self) -> TimeSpec | None:
        """Return how to read a value that is all digits, None if it is read like any other."""
        return TimeSpec(self.integer, self.zone) if self.integer else None

    def excludes(self, other: "TimeField") -> bool:
        """True if both read a text as the same instant, or only one of them can read it."""
        if self.integer or other.integer or self.date or other.date or self.path != other.path:
            return self == other
        units = {self.shape, other.shape}
        return self == other or (len(units) == 2 and units <= EPOCHS.keys())

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        for name, shape in (("shape", self.shape), ("integer", self.integer)):
            try:
                _ = self.spec if name == "shape" else self.integer_spec
            except ValueError as error:
                raise problem(f"is {shape}: {error}", name) from None
        if self.date and not self.spec.needs_day:
            raise problem(f"has no use, since {self.shape} has the date", "date")
        return self


class NumberField(_PathField):
    """A price or size. The value is the text times `scale`; texts of `undefined` mean no value.

    With a `scale` the text must be whole, with `needs_point` it must have a decimal point.
    """

    scale: Annotated[Text, AfterValidator(_check_scale)] = "1"
    undefined: tuple[Text, ...] = ()
    needs_point: Flag = False
    sign: Annotated[Sign, WORD]

    @model_validator(mode="after")
    def _check_point(self) -> Self:
        if self.needs_point and self.shift:
            raise problem("cannot be: a number with a scale is whole", "needs_point")
        return self

    @cached_property
    def shift(self) -> int:
        """Return by how many decimals `scale` moves the point to the left."""
        return len(self.scale.partition(".")[2])


class PriceField(NumberField):
    """A price; positive unless the contract says otherwise."""

    sign: Annotated[Sign, WORD] = Sign.POSITIVE


class SizeField(NumberField):
    """A size; zero is allowed unless the contract says otherwise."""

    sign: Annotated[Sign, WORD] = Sign.NOT_NEGATIVE


class ConditionFlag(Declared):
    """A value that adds a condition code; `codes` lists all values that may come."""

    path: DeclaredPath
    codes: _ConditionCodes


class ConditionsField(Declared):
    """Condition codes. `codes` translates, to None where a code means no condition; a code that it
    lacks gets the prefix `others`, so that no profile takes it for one of its own.
    """

    path: DeclaredPath
    form: Annotated[ConditionsForm, WORD]
    codes: _ConditionCodes | None = None
    others: Annotated[Text, AfterValidator(_check_prefix)] = ""
    flags: tuple[ConditionFlag, ...] = ()


class TextField(_PathField):
    """A short text that becomes an attribute; `codes` translates and then lists all that may
    come.
    """

    codes: dict[str, _ShortText] | None = None
