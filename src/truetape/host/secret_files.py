"""Secret files: generated once, readable by their owner only. Prints and logs no value."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from truetape.host.errors import ConfigError
from truetape.host.settings import Secret
from truetape.host.state_files import read_text, write_text

_ROOT = 0
_OPEN = 0o077
_OPEN_TO_USERS = 0o037


def read(path: Path) -> Secret | None:
    """Return the secret in `path`. None if there is no such file.

    Raise ConfigError if it is empty, cannot be read, or is not private.
    """
    require_private(path)
    value = read_text(path, "restore it, or remove it")
    if value is not None and not value.strip():
        raise ConfigError(f"{path} is empty; put the token into it, or remove it")
    return None if value is None else Secret(value.strip())


def require_private(path: Path) -> None:
    """Raise ConfigError if other users can read the file; a missing file is no error.

    A group may read a file of root, as a cluster mounts its secrets: PostgreSQL's rule for its key.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); name another file") from error
    mode = status.st_mode & 0o777
    is_mounted = status.st_uid == _ROOT != os.geteuid()
    if mode & (_OPEN_TO_USERS if is_mounted else _OPEN):
        raise ConfigError(f"{path} has mode {mode:04o}; make it private: chmod 600 {path}")


def write(path: Path, value: Secret, end: str = "\n") -> None:
    """Write a secret, mode 600 in a folder of mode 700. A reader sees the whole file or none.

    `end` is "" for readers that take a newline as a part of the secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_text(path, value.reveal() + end)


def generate() -> Secret:
    """Return a new random secret of 64 characters."""
    return Secret(secrets.token_urlsafe(48))


def ensure(path: Path, make: Callable[[], Secret] = generate) -> Secret:
    """Return the secret in `path`. Generate it first if it is missing."""
    secret = read(path)
    if secret is None:
        secret = make()
        write(path, secret)
    return secret
