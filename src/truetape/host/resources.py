"""Find the versioned data files: feed contracts, profiles, venues, bucket declarations.

Reads none of them. In a checkout they are top-level folders; a built wheel, and the zip file that
is shipped to a cluster, have them inside the package.
"""

import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from truetape.host.errors import ConfigError

_DATA = "truetape/_data/"


@cache
def folder(name: str) -> Path:
    """Return a data folder, such as "schemas". Raise ConfigError if the installation lacks it."""
    package = Path(__file__).resolve().parents[1]
    roots = [package / "_data", package.parents[1]]
    if package.parent.is_file():
        roots = [Path(_unpacked(package.parent).name) / _DATA]
    for root in roots:
        if (root / name).is_dir():
            return root / name
    raise ConfigError(
        f"no {name}/ folder beside the truetape package in {package}; reinstall truetape"
    )


def names_in(name: str, kind: str) -> list[str]:
    """Return the names of the YAML files in a folder of a data folder, sorted."""
    return sorted(path.stem for path in (folder(name) / kind).glob("*.yaml"))


@cache
def _unpacked(archive: Path) -> "TemporaryDirectory[str]":
    """Unpack the data of the zip file that truetape was imported from, until the process ends."""
    folder = TemporaryDirectory(prefix="truetape-data-")
    with zipfile.ZipFile(archive) as content:
        content.extractall(
            folder.name, [name for name in content.namelist() if name.startswith(_DATA)]
        )
    return folder
