"""The environment of each container, on this machine: a test replaces hosts, paths and ports."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.compose_file import ComposeFile, environment, read, resolved
from truetape.deploy.host_files import Owner, prepare, read_variables

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.airflow.yml"
INHERITED = ("PATH", "HOME", "LANG", "JAVA_HOME", "JAVA_TOOL_OPTIONS")


@dataclass(frozen=True, slots=True)
class Host:
    """A folder with `.env` and `secrets/`, as `make env` writes it."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Host":
        """Prepare a folder that belongs to the user who runs the test."""
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, Owner(os.getuid(), os.getgid()))
        return cls(folder)

    def secret(self, name: str) -> Path:
        """Return the file of a secret."""
        return self.folder / "secrets" / name

    def environment(self, service: str, places: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a container of `service`, with `places` replaced.

        A place is a text of the compose file: an address, a path, a port with its colon.
        """
        variables = read_variables(self.folder / ".env")
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        inherited["PATH"] = f"{Path(sys.executable).parent}:{inherited['PATH']}"
        own = environment(compose().services[service])
        return inherited | {key: _replaced(resolved(own[key], variables), places) for key in own}


def compose() -> ComposeFile:
    """Return the compose file of the checkout."""
    return read(FILE)


def _replaced(text: str, places: Mapping[str, str]) -> str:
    for place in sorted(places, key=len, reverse=True):
        text = re.sub(re.escape(place), lambda _, new=places[place]: new, text)  # type: ignore[misc]
    return text
