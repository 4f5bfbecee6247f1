"""Asks a compose tool of this machine whether it understands the compose file. Starts nothing.

It is given a folder of its own with made-up variables and empty secrets, so that it needs no
`make env` and shows no secret.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from truetape.deploy.host_files import SECRETS, Owner, variables
from truetape.host.errors import ConfigError, TruetapeError
from truetape.host.settings import Settings

BUILT = "compose-spec-2.16.2"
"""What `make compose-tool` builds into the cache: the reader inside Docker Compose, by itself."""
_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that reads compose files: the words before the file's name, and after it."""

    before: tuple[str, ...]
    after: tuple[str, ...] = ()


def find_tool(cache: Path) -> Tool | None:
    """Return Docker Compose from version 2 on, else what was built; None where there is neither."""
    docker = ("docker", "compose")
    if _is_docker_compose(docker):
        return Tool((*docker, "-f"), ("config",))
    built = cache / BUILT
    return Tool((str(built),)) if built.exists() else None


def config(tool: Tool, file: Path) -> str:
    """Return the file as the tool reads it; ConfigError with what it says when it refuses."""
    with TemporaryDirectory(prefix="truetape-compose-") as name:
        folder = Path(name)
        shutil.copy(file, folder / file.name)
        (folder / "secrets").mkdir()
        for one in SECRETS:
            (folder / "secrets" / one.name).touch()
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
    return subprocess.run(  # noqa: S603 - argument list, no shell
        words,
        cwd=folder,
        env=os.environ | variables(Owner(1000, 1000)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )


def main() -> int:
    """Check the file that is named; say so when no tool is there to ask."""
    tool = find_tool(Settings.from_env().cache)
    if tool is None:
        print("no compose tool here, so the format was not checked; get one: make compose-tool")
        return 0
    try:
        config(tool, Path(sys.argv[1]))
    except TruetapeError as error:
        print(f"compose-check: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{Path(tool.before[0]).name} understands {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
