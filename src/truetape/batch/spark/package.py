"""Packs truetape into one zip file that Python can import, for machines that do not have it.

Contains the package and its data files, not the libraries that it imports.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import truetape
from truetape.batch.spark.conf import is_local
from truetape.host.private_home import files_for_others
from truetape.host.resources import OWN_PLACE, folder, own_files, own_schemas
from truetape.host.settings import Settings

_DATA = ("schemas", "influx")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The timestamp of every member, the earliest in zip files: equal files give equal bytes."""


def packages_for(master: str, cache: Path) -> list[Path]:
    """Return the Python packages that a driver ships to executors: none on one machine.

    Used for submitted jobs and for drivers.
    """
    return [] if is_local(master) else [package(cache)]


@files_for_others()
def package(cache: Path) -> Path:
    """Return the zip file of this truetape. Writes it if the cache has none with the same contents.

    Older files stay: a running driver ships its own to executors that join late.
    """
    members = dict(_members())
    path = cache / f"truetape-{truetape.__version__}-{_digest(members)[:16]}.zip"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".packing-", dir=cache) as work:
            unfinished = Path(work) / path.name
            _write(unfinished, members)
            unfinished.replace(path)
    return path


def _members() -> Iterator[tuple[str, Path]]:
    """Yield the name and the file of each member; data files where `resources` looks for them."""
    source = Path(truetape.__file__).parent
    yield from _files(source, "truetape")
    for name in _DATA:
        yield from _files(folder(name), f"truetape/_data/{name}")
    for number, own in enumerate(own_schemas()):
        prefix = f"truetape/_data/{OWN_PLACE}/{number:03}"
        for path in own_files(own):
            yield f"{prefix}/{path.relative_to(own).as_posix()}", path


def _files(root: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if path.is_file() and not {"__pycache__", "_data"} & set(place.parts):
            yield f"{prefix}/{place.as_posix()}", path


def _digest(members: Mapping[str, Path]) -> str:
    parts = [f"{name} {_digest_of(path)}" for name, path in members.items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, members: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in members.items():
            member = zipfile.ZipInfo(name, _EPOCH)
            archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Write the zip file now, for machines where nothing can be written later."""
    print(package(Settings.from_env().cache))


if __name__ == "__main__":
    main()
