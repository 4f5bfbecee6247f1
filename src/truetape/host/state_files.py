"""State files: small private files that truetape writes and reads back, always whole.

Knows no content; `secret_files` adds what a secret needs. A damaged file is named, never guessed
at, repaired or replaced: its owner knows what would be lost.
"""

import errno
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from truetape.host.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

State = TypeVar("State")

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_SECTION = 'see "Damaged state file" in docs/RUNBOOK.md'


@dataclass(frozen=True, slots=True)
class JsonFile(Generic[State]):
    """A kind of JSON file. `kind` ends the sentence "it is no …"; `cure` is the next move.

    `parse` builds the state from the JSON. It may raise ConfigError or any error of a wrong shape;
    `of_type` makes one from a type.
    """

    kind: str
    parse: Callable[[Any], State]
    cure: str

    def read(self, path: Path) -> State | None:
        """Return the state, None if there is no such file. Raise ConfigError if it is damaged."""
        text = read_text(path, self.cure)
        return None if text is None else self.decode(text, path)

    def decode(self, text: str, path: Path) -> State:
        """Parse the text of the file `path`. Raise ConfigError, without the text, if it is damaged.

        A secret's text comes from `secret_files`.
        """
        if not text.strip():
            raise damaged(path, "it is empty", self.cure)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"it is cut or no JSON ({error})", self.cure) from None
        try:
            return self.parse(content)
        except (ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
            raise damaged(path, f"it is no {self.kind} ({_short(error)})", self.cure) from None


def of_type(kind: type[State]) -> Callable[[Any], State]:
    """Return a parser that builds a dataclass, a mapping or another annotated type from JSON."""

    def parse(content: Any) -> State:
        from pydantic import ValidationError

        try:
            state: State = _adapter(cast(Any, kind)).validate_python(content)
        except ValidationError as error:
            wrong = {".".join(map(str, item["loc"])) or "its type" for item in error.errors()}
            raise ValueError(f"wrong: {', '.join(sorted(wrong))}") from None
        return state

    return parse


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def read_text(path: Path, cure: str) -> str | None:
    """Return the text of a file, None if there is none. Raise ConfigError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise damaged(path, "it is not UTF-8 text", cure) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; {cure}") from None


def write_json(path: Path, content: object) -> None:
    """Write JSON; see `write_text`."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file of mode 600. It is on the disk and whole on return, or as it was before.

    Makes the folder. Safe to repeat and to kill. Raise TransientError if the disk is full, else
    ConfigError if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise TransientError(
                f"the disk is full: {path} was not written and is as it was; free space, then run "
                "this again"
            ) from error
        raise ConfigError(f"cannot write {path}: {error.strerror}; is it yours?") from error


def damaged(path: Path, why: str, cure: str) -> ConfigError:
    """Return the error about a damaged file."""
    return ConfigError(f"{path} is damaged: {why}; {cure}; {_SECTION}")


def _short(error: Exception) -> str:
    """Return an error in one line; a KeyError alone would be just a name."""
    text = str(error).splitlines()[0] if str(error) else ""
    return f"lacks {text}" if isinstance(error, KeyError) else text or type(error).__name__


def _sync_folder(folder: Path) -> None:
    """Write the folder's entries to the disk, so that a new name survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
