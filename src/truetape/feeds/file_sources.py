"""File sources: which files the arguments of a command mean. Opens none of them."""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from truetape.feeds.beside import NOTHING_GIVEN, why_skipped
from truetape.feeds.contract import Contract
from truetape.feeds.file_log import FileLog
from truetape.feeds.file_names import NameParts
from truetape.feeds.streams import STDIN, WhyNot
from truetape.host.dates import shown
from truetape.host.errors import ConfigError

MAX_FILES = 100_000
"""Most files and folders below a folder."""


@dataclass(frozen=True, slots=True)
class FileSources:
    """The files in order, each once. `log` has the files of folders that are not read, `repeated`
    is how many were given twice.
    """

    paths: tuple[Path, ...]
    log: FileLog
    repeated: int

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of the choice."""
        if self.repeated:
            yield f"given twice, read once: {self.repeated:,}"
        yield from self.log.lines()


def find(
    arguments: Iterable[str], contract: Contract, given: NameParts = NOTHING_GIVEN
) -> FileSources:
    """Return the files that arguments mean: files, folders with all below, patterns such as
    `2025-*/**/*.csv`, and `-`, standard input. Raise ConfigError if one means no file.

    The files of a folder and of a pattern come in the order of their names. A folder's files are
    chosen by their names and by what the user says in place of them: see `beside.why_skipped`.
    """
    paths: dict[Path, Path] = {}
    log = FileLog()
    repeated = 0
    for argument in arguments:
        skipped = FileLog()
        found = _all_meant(argument, partial(why_skipped, contract=contract, given=given), skipped)
        if not found:
            reasons = "".join(f"; {line}" for line in skipped.lines())
            raise ConfigError(
                f"{argument}: no trade file is there{reasons}; see truetape bars --help"
            )
        log.add(skipped)
        for path in found:
            repeated += path.resolve() in paths
            paths.setdefault(path.resolve(), path)
    return FileSources(tuple(paths.values()), log, repeated)


def _all_meant(argument: str, why_not: WhyNot, log: FileLog) -> list[Path]:
    try:
        return list(_meant(argument, why_not, log))
    except (
        OSError,
        ValueError,
    ) as error:  # a name that no file system takes, a folder that is shut
        raise ConfigError(f"{shown(argument)}: cannot be read ({error})") from error


def _meant(argument: str, why_not: WhyNot, log: FileLog) -> Iterator[Path]:
    path = Path(argument)
    if argument == str(STDIN) or path.is_file():
        yield STDIN if argument == str(STDIN) else path
    elif path.is_dir():
        yield from _in_folder(path, why_not, log)
    elif path.exists():  # a pipe or a device
        yield path
    else:
        for name in sorted(glob.glob(argument, recursive=True)):  # noqa: PTH207 - may be absolute
            yield from [Path(name)] if Path(name).is_file() else ()


def _in_folder(folder: Path, why_not: WhyNot, log: FileLog) -> Iterator[Path]:
    below = list(islice(folder.rglob("*"), MAX_FILES + 1))
    if len(below) > MAX_FILES:
        raise ConfigError(f"{folder}: has over {MAX_FILES:,} files; name a folder inside of it")
    for path in sorted(below):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden:
            reason = why_not([path.absolute().as_posix()])
            if reason is None:
                yield path
            else:
                log.skip(str(path), reason)
