"""Spark's checkpoint of a streaming query, read as files: how far it got, and what is damaged.

Does not import Spark, repairs nothing. Spark writes `offsets/N` before batch N runs and `commits/N`
after it. A full disk or a power cut can leave a file empty or cut; Spark then fails at every start,
with an error that looks as if a later start could succeed.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from truetape.host.errors import ConfigError

_SECTION = 'see "Damaged checkpoint" in docs/RUNBOOK.md'
_LINES = {"offsets": 3, "commits": 2}
"""The least lines of a file: a version, JSON metadata, and in `offsets` the offsets of a source."""
_CRC_MAGIC = b"crc\x00"
_CRC_HEADER = 8
_SUM_BYTES = 4


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

    Reads the newest files of the two logs, and judges state by its size and its last checksum.
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
        if batch < committed - 1:
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
    """Yield the damaged files that the state of a version is loaded from.

    That is the newest snapshot up to it, and the deltas since. Later files are of a batch that is
    not committed, and are written again.
    """
    for store in {path.parent for path in (folder / "state").rglob("*.delta")}:
        files = {path: int(path.stem) for path in store.iterdir() if path.stem.isdecimal()}
        snapshots = [
            number
            for path, number in files.items()
            if path.suffix == ".snapshot" and number <= version
        ]
        first = max(snapshots, default=0)
        for path, number in sorted(files.items()):
            is_snapshot = path.suffix == ".snapshot"
            needed = number == first if is_snapshot else first < number <= version
            if needed and (reason := _size_damage(path)):
                yield Damage(path, reason)


def _size_damage(path: Path) -> str:
    """Compare a file's length and its last bytes with the checksums that Hadoop writes beside it.

    Only these, because state may be large; a file is cut at its end. "" if it is whole, or if there
    are no checksums.
    """
    size = path.stat().st_size
    if size == 0:
        return "it is empty"
    sums = path.with_name(f".{path.name}.crc")
    header = sums.read_bytes() if sums.exists() else b""
    if not header.startswith(_CRC_MAGIC) or len(header) < _CRC_HEADER + _SUM_BYTES:
        return ""
    chunk = int.from_bytes(header[len(_CRC_MAGIC) : _CRC_HEADER], "big")
    count = (len(header) - _CRC_HEADER) // _SUM_BYTES
    if -(-size // chunk) != count:
        return "it is cut"
    with path.open("rb") as file:
        file.seek((count - 1) * chunk)
        last = zlib.crc32(file.read(chunk))
    return "" if last == int.from_bytes(header[-_SUM_BYTES:], "big") else "it is cut"
