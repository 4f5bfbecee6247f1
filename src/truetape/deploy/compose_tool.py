"""Asks a compose tool of this machine whether it understands the compose file. Starts nothing.

It is given a folder of its own with made-up variables and empty secrets, so that it needs no
`make env` and shows no secret.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from truetape.deploy.host_files import SECRETS, Owner, variables
from truetape.errors import ConfigError, TruetapeError
from truetape.settings import Settings

BUILT = "docker-compose"
"""The name of the tool that tests/support builds into the cache."""
_WITHIN_S = 120.0


def find_tool(cache: Path) -> tuple[str, ...] | None:
    """Return the words that start a compose tool from version 2 on; None where there is none."""
    found = [
        ("docker", "compose"),
        (str(cache / "compose" / BUILT), "compose"),
        ("docker-compose",),
    ]
    return next((words for words in found if _is_tool(words)), None)


def config(tool: Sequence[str], file: Path, *extra: str) -> str:
    """Return the file as the tool reads it; ConfigError with what it says when it refuses."""
    with TemporaryDirectory(prefix="truetape-compose-") as name:
        folder = Path(name)
        env_file = folder / ".env"
        made = variables(Owner(1000, 1000))
        env_file.write_text("".join(f"{key}={value}\n" for key, value in made.items()))
        (folder / "secrets").mkdir()
        for one in SECRETS:
            (folder / "secrets" / one.name).touch()
        where = (
            "--project-directory",
            name,
            "--env-file",
            str(env_file),
            "-f",
            str(file.resolve()),
        )
        done = _run((*tool, *where, "config", *extra), folder)
    if done.returncode != 0:
        raise ConfigError(f"{' '.join(tool)} refuses {file}: {done.stderr.strip()}")
    return done.stdout


def _is_tool(words: Sequence[str]) -> bool:
    if shutil.which(words[0]) is None:
        return False
    done = _run((*words, "version", "--short"), Path.cwd())
    return done.returncode == 0 and done.stdout.strip().lstrip("v")[:2] not in ("", "1.")


def _run(words: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - argument list, no shell
        words,
        cwd=folder,
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
        print("no compose tool on this machine; the rules were checked, the format was not")
        return 0
    try:
        config(tool, Path(sys.argv[1]), "--quiet")
    except TruetapeError as error:
        print(f"compose-check: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{' '.join(tool)} understands {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
