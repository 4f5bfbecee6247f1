"""File sources: which files the arguments of a command mean. Opens none of them."""

import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from truetape.feeds.file_names import has_suffix
from truetape.feeds.streams import STDIN
from truetape.host.dates import shown
from truetape.host.errors import ConfigError

MAX_FILES = 100_000
"""Most files and folders below a folder."""


@dataclass(frozen=True, slots=True)
class FileSources:
    """The files in order, each once. `skipped` counts, by suffix, the files of folders that do not
    end as trade files do; `repeated` those that were given twice.
    """

    paths: tuple[Path, ...]
    skipped: Mapping[str, int]
    repeated: int

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of the choice."""
        if self.repeated:
            yield f"given twice, read once: {self.repeated:,}"
        for suffix, count in sorted(self.skipped.items()):
            shown_suffix = suffix.encode("utf-8", "replace").decode()
            yield f"skipped in folders, not named as trade files are: {count:,} {shown_suffix}"


def find(arguments: Iterable[str]) -> FileSources:
    """Return the files that arguments mean: files, folders with all below, patterns such as
    `2025-*/**/*.csv`, and `-`, standard input. Raise ConfigError if one means no file.

    The files of a folder and of a pattern come in the order of their names.
    """
    paths: dict[Path, Path] = {}
    skipped: Counter[str] = Counter()
    repeated = 0
    for argument in arguments:
        found = _all_meant(argument, skipped)
        if not found:
            raise ConfigError(f"{argument}: no trade file is there; see truetape bars --help")
        for path in found:
            repeated += path.resolve() in paths
            paths.setdefault(path.resolve(), path)
    return FileSources(tuple(paths.values()), skipped, repeated)


def _all_meant(argument: str, skipped: "Counter[str]") -> list[Path]:
    try:
        return list(_meant(argument, skipped))
    except (
        OSError,
        ValueError,
    ) as error:  # a name that no file system takes, a folder that is shut
        raise ConfigError(f"{shown(argument)}: cannot be read ({error})") from error


def _meant(argument: str, skipped: "Counter[str]") -> Iterator[Path]:
    path = Path(argument)
    if argument == str(STDIN) or path.is_file():
        yield STDIN if argument == str(STDIN) else path
    elif path.is_dir():
        yield from _in_folder(path, skipped)
    elif path.exists():  # a pipe or a device
        yield path
    else:
        for name in sorted(glob.glob(argument, recursive=True)):  # noqa: PTH207 - may be absolute
            yield from _meant(name, skipped) if Path(name).is_file() else ()


def _in_folder(folder: Path, skipped: "Counter[str]") -> Iterator[Path]:
    below = list(islice(folder.rglob("*"), MAX_FILES + 1))
    if len(below) > MAX_FILES:
        raise ConfigError(f"{folder}: has over {MAX_FILES:,} files; name a folder inside of it")
    for path in sorted(below):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            if has_suffix(path.name):
                yield path
            else:
                skipped[path.suffix or path.name] += 1
