"""Secret files: generated once, readable by their owner only. Prints and logs no value."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from truetape.host.errors import ConfigError
from truetape.host.settings import Secret


def read(path: Path) -> Secret | None:
    """Return the secret in `path`. None if there is no such file.

    Raise ConfigError if it is empty, or if other users than its owner can read it.
    """
    try:
        mode = path.stat().st_mode & 0o777
        value = path.read_text().strip()
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise ConfigError(f"{path} has mode {mode:04o}; make it private: chmod 600 {path}")
    if not value:
        raise ConfigError(f"{path} is empty; put the token into it, or remove it")
    return Secret(value)


def write(path: Path, value: Secret, end: str = "\n") -> None:
    """Write a secret, mode 600 in a folder of mode 700. A reader sees the whole file or none.

    `end` is "" for readers that take a newline as a part of the secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(value.reveal() + end)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


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
