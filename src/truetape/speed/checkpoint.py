"""Spark's checkpoint of a streaming query, read as files: how far it got, and what is damaged.

Does not import Spark, repairs nothing. Spark writes `offsets/N` before batch N runs and `commits/N`
after it. A full disk or a power cut can leave a file empty or cut; Spark then fails at every start,
with an error that looks as if a later start could succeed.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from truetape.host.errors import ConfigError

_SECTION = 'see "Damaged checkpoint" in docs/RUNBOOK.md'
_LINES = {"offsets": 3, "commits": 2}
"""The least lines of a file: a version, JSON metadata, and in `offsets` the offsets of a source."""
_CHANGES = ".changelog"
_LZ4_MARK = b"LZ4Block"
_LZ4_HEADER = 21
_LZ4_LENGTHS = 9


class Role(StrEnum):
    """What the query needs a damaged file for."""

    PLAN = "plan"
    """Which records the newest batch has, which is not committed. Without it the batch is planned
    again, from where the batch before ended."""
    COMMIT = "commit"
    """That the newest batch is committed. Without it the same records run again as that batch."""
    OTHER = "other"
    """Nothing replaces it."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged file of a checkpoint."""

    file: Path
    reason: str
    role: Role = Role.OTHER


def last_committed(folder: Path) -> int:
    """Return the newest committed batch, -1 if there is none."""
    return max(_batches(folder, "commits"), default=-1)


def offsets_of(folder: Path, batch: int, topic: str) -> dict[str, int]:
    """Return the next offset of each partition after a batch of a query on one topic.

    Raise ConfigError if the batch's file is damaged or has another topic.
    """
    path = folder / "offsets" / str(batch)
    try:
        partitions = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])[topic]
        return {part: int(offset) for part, offset in partitions.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is damaged: it has no offsets of {topic} ({type(error).__name__}); {_SECTION}"
        ) from None


def watermark_of(folder: Path, batch: int) -> datetime:
    """Return the watermark after a committed batch. Raise ConfigError if its file is damaged."""
    path = folder / "commits" / str(batch)
    try:
        metadata = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        return datetime.fromtimestamp(metadata.get("nextBatchWatermarkMs", 0) / 1_000, UTC)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"{path} is damaged: it has no watermark ({type(error).__name__}); {_SECTION}"
        ) from None


def damage_of(folder: Path) -> Damage | None:
    """Return the first damaged file that a start of the query would read. None if all are whole.

    Reads the newest files of the two logs, and the changes of state since the newest snapshot.
    """
    return next(_damages(folder), None)


def require_whole(folder: Path, cures: Mapping[Role, str]) -> None:
    """Raise ConfigError with the damaged file and the cure for its role, if there is one."""
    damage = damage_of(folder)
    if damage is not None:
        raise error_of(damage, cures)


def error_of(damage: Damage, cures: Mapping[Role, str]) -> ConfigError:
    """Return the error about a damaged file."""
    cure = cures[damage.role]
    return ConfigError(f"{damage.file} is damaged: {damage.reason}; {cure}; {_SECTION}")


_READ_ERRORS = re.compile(
    r"Incomplete log file|Failed to read log file|CANNOT_LOAD_STATE_STORE|ChecksumException"
    r"|EOFException|MALFORMED|StreamMetadata|CHECKPOINT_FILE_CHECKSUM"
)
"""What Spark's errors say of a file of the checkpoint that it cannot read. A full disk says none of
these."""


def damage_in(text: str, folder: Path) -> Damage | None:
    """Return the damaged file that an error of Spark names. None if the error is another one."""
    if not _READ_ERRORS.search(text):
        return None
    match = re.search(rf"{re.escape(str(folder))}(/[\w./-]*\w)?", text)
    return None if match is None else Damage(Path(match[0]), "Spark cannot read it")


def _damages(folder: Path) -> Iterator[Damage]:
    planned, committed = _batches(folder, "offsets"), last_committed(folder)
    if committed >= 0 and committed not in planned:
        yield Damage(folder / "offsets" / str(committed), "it is missing, and its batch committed")
    metadata = folder / "metadata"
    if metadata.exists() and (reason := _json_damage(metadata.read_bytes())):
        yield Damage(metadata, reason)
    newest = max(planned, default=-1)
    for batch in sorted(planned, reverse=True):
        if batch < newest - 1:
            break
        if reason := _log_damage(folder, "offsets", batch):
            is_plan = batch == newest > committed
            role = Role.PLAN if is_plan else Role.OTHER
            yield Damage(folder / "offsets" / str(batch), reason, role)
    if committed >= 0 and (reason := _log_damage(folder, "commits", committed)):
        role = Role.COMMIT if newest == committed else Role.OTHER
        yield Damage(folder / "commits" / str(committed), reason, role)
    yield from _state_damages(folder, committed + 1)


def _batches(folder: Path, log: str) -> set[int]:
    return {int(path.name) for path in (folder / log).glob("[0-9]*") if path.name.isdecimal()}


def _log_damage(folder: Path, log: str, batch: int) -> str:
    """Return what is wrong with a file of a log, "" if it is whole."""
    content = (folder / log / str(batch)).read_bytes()
    if not content.strip():
        return "it is empty"
    version, *lines = content.split(b"\n")
    if not re.fullmatch(rb"v\d+", version) or 1 + len(lines) < _LINES[log]:
        return "it is cut, or not Spark's"
    return next((reason for line in lines if (reason := _line_damage(line))), "")


def _line_damage(line: bytes) -> str:
    return "" if line == b"-" else _json_damage(line)


def _json_damage(content: bytes) -> str:
    if not content.strip():
        return "it is empty"
    try:
        return "" if isinstance(json.loads(content), dict) else "it is not Spark's"
    except (ValueError, RecursionError):
        return "it is cut, or not Spark's"


def _state_damages(folder: Path, version: int) -> Iterator[Damage]:
    """Yield the damaged changes that the state of a version is loaded from.

    These are the changes since the newest snapshot. Later ones belong to a batch that is not
    committed, and are written again. Snapshots stay Spark's to judge: it can do without the newest.
    """
    for store in sorted({path.parent for path in (folder / "state").rglob(f"*{_CHANGES}")}):
        versions = {path: int(path.stem) for path in store.iterdir() if path.stem.isdecimal()}
        first = max(
            (n for path, n in versions.items() if path.suffix == ".zip" and n <= version), default=0
        )
        for path, number in sorted(versions.items(), key=lambda item: item[1]):
            is_needed = path.suffix == _CHANGES and first < number <= version
            if is_needed and (reason := _changes_damage(path.read_bytes())):
                yield Damage(path, reason)


def _changes_damage(content: bytes) -> str:
    """Follow the blocks of an LZ4 stream, whose last one is empty. Return "" if it is whole.

    A block has a mark, a byte, its length in the file and unpacked, a checksum, and its bytes.
    """
    if not content:
        return "it is empty"
    at = 0
    while content.startswith(_LZ4_MARK, at) and len(content) >= at + _LZ4_HEADER:
        packed, unpacked = struct.unpack_from("<II", content[at : at + _LZ4_HEADER], _LZ4_LENGTHS)
        at += _LZ4_HEADER + packed
        if not unpacked:
            return "" if at == len(content) else "it is cut, or not Spark's"
    return "it is cut, or not Spark's"
