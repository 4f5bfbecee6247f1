"""The home is this user's alone: closes its folder, and makes new files private.

Changes no file inside a home: nobody else gets past its folder. What a user asks for by a path, and
what `TRUETAPE_CACHE` holds for everybody, follows the umask of whoever started the process.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from truetape.host import secret_files
from truetape.host.errors import ConfigError
from truetape.host.log import logger
from truetape.host.settings import Settings

PRIVATE_UMASK = 0o077
_OPEN = 0o077
_TRACES = frozenset(
    {"airflow", "backfills", "bars.sqlite", "checkpoints", "demo", "influx", "kafka", "lake",
     "locks", "logs", "quality", "replayed.json", "run", "secrets", "stack.lock"}
)  # fmt: skip
"""What a home has inside; a folder with other things only may belong to somebody else."""


@dataclass(slots=True)
class _Umask:
    """The umask that this process was started with; None until it was replaced."""

    given: int | None = None


_UMASK = _Umask()


def current_settings() -> Settings:
    """Read the settings of this process, close its home, and make its new files private.

    Every entry point begins with it. Raise ConfigError for a bad setting, for a home that cannot be
    made private, or for a token that other users can read.
    """
    settings = Settings.from_env()
    if lake_is_private(settings):
        make_new_files_private()
    close_home(settings)
    if settings.store == "influx":
        secret_files.require_private(settings.influx_token_file)
    return settings


def lake_is_private(settings: Settings) -> bool:
    """True if the lake is inside the home. Another one is shared as its owner likes."""
    return Path(settings.lake).is_relative_to(settings.home)


def make_new_files_private() -> None:
    """Set the umask of this process and of its children. Safe to repeat."""
    before = os.umask(PRIVATE_UMASK)
    if before != PRIVATE_UMASK:
        _UMASK.given = before


@contextmanager
def files_for_others() -> Iterator[None]:
    """For the block, make files with the umask that this process was started with."""
    if _UMASK.given is None:
        yield
        return
    before = os.umask(_UMASK.given)
    try:
        yield
    finally:
        os.umask(before)


def create_home(settings: Settings) -> None:
    """Create the home if it is missing, mode 700, and close it if it is open."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_home(settings)


def close_home(settings: Settings) -> None:
    """Close an existing home to other users, and log that once. Safe to repeat.

    Raise ConfigError if it belongs to another user, or if it does not look like a home, such as
    /tmp. On Kubernetes the rights of a volume are the cluster's; a read-only home is closed by
    whoever can write to it.
    """
    home = settings.home
    try:
        status = home.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            f"TRUETAPE_HOME {home} cannot be used: {error.strerror}; choose another folder"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"TRUETAPE_HOME {home} is no folder; choose another path")
    if settings.speed_launcher == "kubernetes" or os.statvfs(home).f_flag & os.ST_RDONLY:
        return
    _require_own(home, status)
    if status.st_mode & _OPEN:
        _close(home, status)


def _require_own(home: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"TRUETAPE_HOME {home} belongs to user {status.st_uid}, and this is user "
            f"{os.geteuid()}; run truetape as its owner, or choose another folder. See "
            '"The home is not private" in docs/RUNBOOK.md'
        )


def _close(home: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not _looks_like_home(home, status):
        raise ConfigError(
            f"TRUETAPE_HOME {home} has mode {mode:04o} and does not look like a home of truetape; "
            f"choose a folder of its own, or close it: chmod 700 {home}. "
            'See "The home is not private" in docs/RUNBOOK.md'
        )
    home.chmod(mode & ~_OPEN)
    logger("host").warning(
        "home_closed_to_other_users", home=str(home), before=f"{mode:04o}", now="0700"
    )


def _looks_like_home(home: Path, status: os.stat_result) -> bool:
    if status.st_mode & stat.S_ISVTX or home in (Path("/"), Path.home()):
        return False
    names = {entry.name for entry in os.scandir(home)}
    return not names or bool(names & _TRACES)
