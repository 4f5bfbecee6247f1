"""Declared data files (YAML) become pydantic models; an error names file, line and field.

Knows no file's meaning: contracts, suites, venues, profiles and buckets are models of their own.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from yaml.composer import Composer

from truetape.host.errors import ConfigError

MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 100_000
"""Most values in a file, each use of a YAML alias counted: aliases of aliases grow without end."""

Location = tuple[str | int, ...]


class Plain(str):
    """A scalar that was written without quotes; what YAML would make of it does not matter."""

    __slots__ = ()


class Declared(BaseModel):
    """A mapping of a declared file. Every scalar arrives as the text that was written, so a field
    is a `Text`, a `Flag`, a `Whole`, a `Version`, a `Day`, or an enum marked with `WORD`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _only_fields_of_the_model(cls, value: object) -> object:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise ValueError("must be a mapping of names to values")
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for name in value:
            if name not in known:
                raise problem(f"is not known; known are {', '.join(known)}", name)
        return value


Model = TypeVar("Model", bound=Declared)


def read(path: Path, model: type[Model]) -> Model:
    """Return the model of a YAML file. Raise ConfigError with file, line and field if the file is
    absent, too large, no YAML, or breaks a rule of the model.
    """
    try:
        content = _Content(path, _root(path))
    except RecursionError:
        raise ConfigError(f"{path}: values are nested too deeply") from None
    try:
        return model.model_validate(content.value, context={"name": path.stem})
    except ValidationError as error:
        errors = [content.error(details) for details in error.errors()]
        raise min(errors, key=lambda placed: placed[0])[1] from None


def problem(reason: str, *location: str | int) -> ValidationError:
    """Return the error of a field below the model that a validator sees, for it to raise."""
    cause = PydanticCustomError("declared", "{reason}", {"reason": reason})
    details = InitErrorDetails(type=cause, loc=location, input=None)
    return ValidationError.from_exception_data("declared", [details])


def _whole(least: int) -> BeforeValidator:
    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        if not (value.isascii() and value.isdigit()) or int(value) < least:
            raise ValueError(f"is {value!r}; write a whole number from {least}")
        return int(value)

    return BeforeValidator(parse)


def _flag(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError(f"is {value!r}; write true or false")
    return value == "true" if isinstance(value, str) else value


def _day(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"is {value!r}; write a date such as 2025-01-01") from None


def _is_file_name(value: str, info: ValidationInfo) -> str:
    if info.context and value != info.context["name"]:
        raise ValueError(f"is {value!r}; it must be the file's own name, {info.context['name']!r}")
    return value


Text = Annotated[str, StringConstraints(min_length=1)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Whole = Annotated[int, _whole(0)]
Version = Annotated[int, _whole(1)]
Day = Annotated[date, BeforeValidator(_day)]
FileName = Annotated[Text, AfterValidator(_is_file_name)]
WORD = Strict(strict=False)
"""Marks an enum: the file has the text of a member."""


class _Content:
    """The content of one file as dicts, tuples and texts, and the line of every value in it."""

    def __init__(self, path: Path, root: yaml.Node) -> None:
        self._path = path
        self._lines: dict[Location, int] = {(): 1}
        self.value = self._converted(root, ())

    def error(self, details: ErrorDetails) -> tuple[int, ConfigError]:
        """Return the line of an error and the error; steps that only a model has are left out."""
        location, reason = details["loc"], _reason(details)
        if details["type"] == "missing":
            location, reason = location[:-1], f"lacks {location[-1]!r}"
        here: Location = ()
        for step in location:
            here = (*here, step) if (*here, step) in self._lines else here
        return self._lines[here], self._error(self._lines[here], here, reason)

    def _converted(self, node: yaml.Node, here: Location) -> object:
        if len(self._lines) > MAX_VALUES:
            raise ConfigError(f"{self._path}: has more than {MAX_VALUES} values")
        match node:
            case yaml.MappingNode():
                names = [(self._name(key, here), value) for key, value in node.value]
                return {name: self._converted(value, (*here, name)) for name, value in names}
            case yaml.SequenceNode():
                places = [(*here, place) for place in range(len(node.value))]
                for place, item in zip(places, node.value, strict=True):
                    self._lines[place] = item.start_mark.line + 1
                return tuple(map(self._converted, node.value, places))
            case yaml.ScalarNode() if not node.style:
                return Plain(node.value)
            case _:
                return node.value

    def _name(self, key: yaml.Node, here: Location) -> str:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise self._error(line, (*here, "?"), "has a key that is no text")
        entry = (*here, key.value)
        if entry in self._lines:
            raise self._error(line, entry, f"is there twice, first in line {self._lines[entry]}")
        self._lines[entry] = line
        return str(key.value)

    def _error(self, line: int, here: Location, reason: str) -> ConfigError:
        field = ".".join(map(str, here)) or "the file"
        return ConfigError(f"{self._path}, line {line}: {field} {reason}")


class _Loader(Composer, yaml.CSafeLoader):
    """Parses in C, eight times as fast as in Python, and composes in Python, where a file that is
    nested too deeply is a RecursionError and not the end of the process.
    """

    def __init__(self, content: bytes) -> None:
        yaml.CSafeLoader.__init__(self, content)
        Composer.__init__(self)


def _root(path: Path) -> yaml.Node:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: {len(content)} bytes; at most {MAX_FILE_BYTES} are read")
    try:
        root = yaml.compose(content, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if root is None:
        raise ConfigError(f"{path}: is empty")
    return root


def _reason(details: ErrorDetails) -> str:
    """Return what is wrong, as the rest of a sentence that begins with the field."""
    context = details.get("ctx", {})
    match details["type"]:
        case "declared" | "value_error":
            return str(context.get("reason", context.get("error")))
        case "enum" | "literal_error":
            words = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            return f"is {details['input']!r}; write one of {words}"
        case kind:
            return _KINDS.get(kind, f"is {details['input']!r}: {details['msg']}")


_KINDS = {
    "string_type": "must be a text",
    "string_too_short": "must be a text",
    "bool_type": "must be a text",
    "int_type": "must be a text",
    "date_type": "must be a text",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
}
