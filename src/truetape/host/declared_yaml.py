"""Declared data files (YAML), read with line numbers: an error names file, line and field.

Knows nothing of what a file means; venues, profiles and others read that from its `Node`s.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from truetape.host.errors import ConfigError

MAX_FILE_BYTES = 1_000_000
_WHOLE = re.compile(r"-?[0-9][0-9_]*")
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a file and its place: `field` is the dotted way to it, `line` counts from 1."""

    path: Path
    line: int
    field: str
    _yaml: yaml.Node

    def fail(self, problem: str) -> NoReturn:
        """Raise the ConfigError of this place."""
        raise ConfigError(f"{self.path}, line {self.line}: {self.field or 'the file'} {problem}")

    def mapping(
        self, required: tuple[str, ...] = (), optional: tuple[str, ...] | None = None
    ) -> dict[str, "Node"]:
        """Return the entries by key text, in file order; keys may not repeat.

        Every key of `required` must be there; with `optional` no key outside the two may be.
        """
        if not isinstance(self._yaml, yaml.MappingNode):
            self.fail("must be a mapping of names to values")
        entries: dict[str, Node] = {}
        for key, value in self._yaml.value:
            entry = self._child(key.value if isinstance(key, yaml.ScalarNode) else "?", key, value)
            if not isinstance(key, yaml.ScalarNode):
                entry.fail("has a key that is not plain text")
            if key.value in entries:
                entry.fail(f"is there twice, first in line {entries[key.value].line}")
            if optional is not None and key.value not in (*required, *optional):
                entry.fail(f"is not known; known are {', '.join((*required, *optional))}")
            entries[key.value] = entry
        for name in required:
            if name not in entries:
                self.fail(f"lacks {name!r}")
        return entries

    def is_mapping(self) -> bool:
        """Say whether the value is a mapping, where a field may be written short or in full."""
        return isinstance(self._yaml, yaml.MappingNode)

    def items(self) -> list["Node"]:
        """Return the values of a list."""
        if not isinstance(self._yaml, yaml.SequenceNode):
            self.fail("must be a list")
        return [self._child(str(place), item, item) for place, item in enumerate(self._yaml.value)]

    def text(self) -> str:
        """Return a scalar as it is written, whatever YAML would make of it; never empty."""
        if not isinstance(self._yaml, yaml.ScalarNode) or not self._yaml.value:
            self.fail("must be a text")
        return str(self._yaml.value)

    def texts(self) -> tuple[str, ...]:
        """Return a list of scalars as they are written."""
        return tuple(item.text() for item in self.items())

    def flag(self) -> bool:
        """Return a boolean, written `true` or `false`."""
        text = self.text()
        if text not in ("true", "false"):
            self.fail(f"is {text!r}; write true or false")
        return text == "true"

    def whole(self, least: int = 0) -> int:
        """Return a whole number of at least `least`."""
        text = self.text()
        if not (text.isascii() and text.isdigit()) or int(text) < least:
            self.fail(f"is {text!r}; write a whole number from {least}")
        return int(text)

    def scalar(self) -> str | int | float | bool:
        """Return a value by the way it is written: a quoted one is always a text."""
        text = self.text()
        if isinstance(self._yaml, yaml.ScalarNode) and self._yaml.style is not None:
            return text
        if text in ("true", "false"):
            return text == "true"
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) else text

    def is_list(self) -> bool:
        """Say whether the value is a list, where one value may be written without brackets."""
        return isinstance(self._yaml, yaml.SequenceNode)

    def choice(self, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""
        text = self.text()
        if text not in allowed:
            self.fail(f"is {text!r}; write one of {', '.join(allowed)}")
        return text

    def _child(self, name: str, place: yaml.Node, value: yaml.Node) -> "Node":
        way = f"{self.field}.{name}" if self.field else name
        return Node(self.path, place.start_mark.line + 1, way, value)


def read(path: Path) -> Node:
    """Return the root of a YAML file; ConfigError where it is absent, too large or not YAML."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: {len(content)} bytes; at most {MAX_FILE_BYTES} are read")
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if root is None:
        raise ConfigError(f"{path}: is empty")
    return Node(path, 1, "", root)
