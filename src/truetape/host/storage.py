"""What a refusal of the operating system's storage means: full, not permitted, or read-only.

Opens nothing. Python raises an OSError; Java, Rust and SQLite give only a text, which is read here.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from truetape.host.errors import ConfigError, TransientError, TruetapeError

_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|disk is full|os error (28|122)\b|code: (28|122)\b"
)
_READ_ONLY = re.compile(
    r"Read-only file system|attempt to write a readonly database|os error 30\b|code: 30\b"
)
_DENIED = re.compile(
    r"Permission denied|Operation not permitted|AccessDenied|Access Denied|403 Forbidden"
    r"|os error (1|13)\b|code: (1|13)\b"
)

_PAGES_BYTES = 65_536
_SERVER_BYTES = 16_777_216
"""With less room than this a server's disk counts as full: it writes files ahead."""


def storage_error(error: BaseException | str, where: str) -> TruetapeError | None:
    """Return the error for a full disk, a missing right or a read-only file system at `where`.

    Return None for everything else. A full disk is a TransientError: the same call succeeds once
    there is room. The others are ConfigErrors.
    """
    text = str(error)
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes | os.PathLike):
        where = os.fsdecode(error.filename)
    if _FULL.search(text):
        return TransientError(
            f"the disk of {where} is full; make room, then run this again: nothing acknowledged is "
            'lost; see "Disk" in docs/RUNBOOK.md'
        )
    if _READ_ONLY.search(text):
        return ConfigError(
            f"{where} is read-only, or its file system is; make it writable, then run this again; "
            'see "Disk" in docs/RUNBOOK.md'
        )
    if _DENIED.search(text):
        return ConfigError(
            f"{where}: permission denied for user {os.geteuid()}; let this user read and write it, "
            'then run this again; see "Disk" in docs/RUNBOOK.md'
        )
    return None


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise an OSError of the block as the error of `storage_error`, if it is one of these. For the
    outermost caller: a file can be refused wherever one is opened.
    """
    try:
        yield
    except OSError as error:
        refused = storage_error(error, "TRUETAPE_HOME or the lake")
        if refused is None:
            raise
        raise refused from error


def fullest(places: Iterable[Path]) -> Path:
    """Return the place whose file system has the fewest bytes left, for a program that reports a
    full disk and not where. A place that does not exist yet counts as its parent.
    """
    return min(places, key=_free_bytes)


def is_full(place: Path) -> bool:
    """True if the file system of a place has no room left for a file of some pages."""
    return _free_bytes(place) < _PAGES_BYTES


def no_room(place: Path) -> str | None:
    """Return that the disk of a server's data is full, and what to do; None if it is not."""
    free = _free_bytes(place)
    if free >= _SERVER_BYTES:
        return None
    return (
        f"the disk of {place} is full ({free / 1_000_000:.1f} MB left); make room, then "
        '`truetape stack up`: nothing acknowledged is lost; see "Disk" in docs/RUNBOOK.md'
    )


def _free_bytes(place: Path) -> int:
    existing = next(part for part in (place.absolute(), *place.absolute().parents) if part.exists())
    return shutil.disk_usage(existing).free
