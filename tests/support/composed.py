"""The compose file as its containers would get it, but on this machine: hosts, paths and ports of
containers become those of a test.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from truetape.deploy.compose_file import ComposeFile, environment, read, resolved
from truetape.deploy.host_files import Owner, prepare, read_variables

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.airflow.yml"
USUAL = ("PATH", "HOME", "LANG", "JAVA_HOME", "JAVA_TOOL_OPTIONS")


@dataclass(frozen=True, slots=True)
class Host:
    """A folder with `.env` and `secrets/`, as `make env` leaves it."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Host":
        """Make one that belongs to whoever runs the test."""
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, Owner(os.getuid(), os.getgid()))
        return cls(folder)

    def secret(self, name: str) -> Path:
        """Return the file of a secret."""
        return self.folder / "secrets" / name

    def environment(self, service: str, places: Mapping[str, str]) -> dict[str, str]:
        """Return what a container of `service` runs with, `places` put in for its own.

        A place is what stands in the compose file: an address, a path, a port with its colon.
        """
        variables = read_variables(self.folder / ".env")
        usual = {name: os.environ[name] for name in USUAL if name in os.environ}
        usual["PATH"] = f"{Path(sys.executable).parent}:{usual['PATH']}"
        own = environment(compose().services[service])
        return usual | {key: _put(resolved(own[key], variables), places) for key in own}


def compose() -> ComposeFile:
    """The compose file of the checkout."""
    return read(FILE)


def _put(text: str, places: Mapping[str, str]) -> str:
    for place in sorted(places, key=len, reverse=True):
        text = re.sub(re.escape(place), lambda _, new=places[place]: new, text)  # type: ignore[misc]
    return text
