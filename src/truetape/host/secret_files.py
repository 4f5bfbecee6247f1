"""Secret files: generated once, readable by their owner only. Prints and logs no value."""

import secrets
from collections.abc import Callable
from pathlib import Path

from truetape.host.errors import ConfigError
from truetape.host.settings import Secret
from truetape.host.state_files import read_text, write_text


def read(path: Path) -> Secret | None:
    """Return the secret in `path`. None if there is no such file.

    Raise ConfigError if it is empty, or if other users than its owner can read it.
    """
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise ConfigError(f"{path} has mode {mode:04o}; make it private: chmod 600 {path}")
    value = read_text(path, "restore it, or remove it")
    if value is not None and not value.strip():
        raise ConfigError(f"{path} is empty; put the token into it, or remove it")
    return None if value is None else Secret(value.strip())


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
