"""Find the versioned data files: feed contracts, profiles, venues, bucket declarations.

Reads none of them. In a checkout they are top-level folders; a built wheel, and the zip file that
is shipped to a cluster, have them inside the package. A user's own schemas come before ours.
"""

import os
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from truetape.host.errors import ConfigError

_DATA = "truetape/_data/"
OWN_SCHEMAS = "TRUETAPE_SCHEMAS"
"""The variable with the folders of a user's own schemas; read here, since settings name feeds."""
OWN_PLACE = "own-schemas"
"""Where a package that is shipped has them."""


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


def schema_folders() -> tuple[Path, ...]:
    """Return the folders of schemas: the user's own in their order, and ours last.

    Raise ConfigError if a folder does not exist.
    """
    return (*own_schemas(), folder("schemas"))


def own_schemas() -> tuple[Path, ...]:
    """Return the folders of the user's own schemas. Raise ConfigError if one does not exist."""
    archive = Path(__file__).resolve().parents[2]
    if archive.is_file():
        shipped = Path(_unpacked(archive).name) / _DATA / OWN_PLACE
        return tuple(sorted(shipped.iterdir())) if shipped.is_dir() else ()
    named = os.environ.get(OWN_SCHEMAS, "").split(os.pathsep)
    return tuple(own_schema_folder(text) for text in named if text)


def own_schema_folder(text: str) -> Path:
    """Return the absolute path of a folder of schemas. Raise ConfigError if it does not exist."""
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(
            f"{OWN_SCHEMAS} names {text!r}, which is no folder; it needs folders with feeds/, "
            f"eligibility/ or venues.yaml, separated by {os.pathsep}"
        )
    return path


def own_files(schemas: Path) -> list[Path]:
    """Return the files of a folder of schemas that truetape reads, in order."""
    return sorted([*schemas.glob("venues.yaml"), *schemas.glob("*/*.yaml")])


def schema_file(kind: str, name: str) -> Path | None:
    """Return the first file of a feed or a profile; None if no folder of schemas has one."""
    files = (each / kind / f"{name}.yaml" for each in schema_folders())
    return next((file for file in files if file.is_file()), None)


def schema_names(kind: str) -> list[str]:
    """Return the names of all feeds or profiles, sorted."""
    return sorted({path.stem for each in schema_folders() for path in (each / kind).glob("*.yaml")})


@cache
def _unpacked(archive: Path) -> "TemporaryDirectory[str]":
    """Unpack the data of the zip file that truetape was imported from, until the process ends."""
    folder = TemporaryDirectory(prefix="truetape-data-")
    with zipfile.ZipFile(archive) as content:
        content.extractall(
            folder.name, [name for name in content.namelist() if name.startswith(_DATA)]
        )
    return folder
