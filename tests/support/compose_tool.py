"""Runs Docker Compose's own parser on the compose file. Starts no container.

The parser reads a copy of the file in a folder of its own, with made-up variables and empty
secrets, so that it needs no `make env` and prints no secret.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from truetape.deploy.host_files import SECRETS, Owner, variables
from truetape.host.errors import ConfigError

BUILT = "compose-spec-2.16.2"
"""What `make compose-tool` builds into the cache: the parser of Docker Compose, by itself."""
_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that reads compose files: the words before the file's name, and after it."""

    before: tuple[str, ...]
    after: tuple[str, ...] = ()


def find_tool(cache: Path) -> Tool | None:
    """Return Docker Compose 2 or later, else the parser in the cache. None if there is neither."""
    docker = ("docker", "compose")
    if _is_docker_compose(docker):
        return Tool((*docker, "-f"), ("config",))
    built = cache / BUILT
    return Tool((str(built),)) if built.exists() else None


def config(tool: Tool, file: Path) -> str:
    """Return the file as the tool reads it. Raise ConfigError with its message if it refuses it."""
    with TemporaryDirectory(prefix="truetape-compose-") as name:
        folder = Path(name)
        shutil.copy(file, folder / file.name)
        (folder / "secrets").mkdir()
        for secret in SECRETS:
            (folder / "secrets" / secret.name).touch()
        done = _run((*tool.before, file.name, *tool.after), folder)
    if done.returncode != 0:
        raise ConfigError(f"{Path(tool.before[0]).name} refuses {file}: {done.stderr.strip()}")
    return done.stdout


def _is_docker_compose(words: Sequence[str]) -> bool:
    if shutil.which(words[0]) is None:
        return False
    done = _run((*words, "version", "--short"), Path.cwd())
    version = done.stdout.strip().removeprefix("v")
    return done.returncode == 0 and version[:2] not in ("", "1.")


def _run(words: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        cwd=folder,
        env=os.environ | variables(Owner(1000, 1000)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
