"""truetape as a zip file: a Python that has nothing else can use it."""

import subprocess
import sys
from pathlib import Path

import pytest

from truetape.batch.spark import package as packing
from truetape.batch.spark.package import package, packages_for
from truetape.host.resources import folder


def bare(zip_file: Path, code: str) -> str:
    """Run code with a Python that knows its own library and this file, no installed package."""
    start = f"import sys; sys.path.insert(0, {str(zip_file)!r}); "
    done = subprocess.run(
        [sys.executable, "-S", "-c", start + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_it_is_imported_from_the_file_and_finds_its_data_in_it(tmp_path: Path) -> None:
    made = package(tmp_path)

    found = bare(
        made,
        "import truetape; from truetape.host.resources import folder;"
        "print(truetape.__file__);"
        "print((folder('schemas') / 'venues.yaml').read_text(), end='')",
    )

    where, _, venues = found.partition("\n")
    assert where == f"{made}/truetape/__init__.py"
    assert venues == (folder("schemas") / "venues.yaml").read_text()


def test_what_executors_import_needs_no_other_package(tmp_path: Path) -> None:
    assert bare(package(tmp_path), "import truetape.batch.spark.executors; print('imported')")


def test_it_is_made_once_and_anew_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = package(tmp_path / "one")
    elsewhere = package(tmp_path / "two")
    made_ns = first.stat().st_mtime_ns

    assert (package(tmp_path / "one"), first.stat().st_mtime_ns) == (first, made_ns)
    assert (elsewhere.name, elsewhere.read_bytes()) == (first.name, first.read_bytes())

    monkeypatch.setattr(packing, "_DATA", ("schemas",))
    assert package(tmp_path / "one") != first
    assert len(list((tmp_path / "one").iterdir())) == 2


def test_only_executors_elsewhere_need_it(tmp_path: Path) -> None:
    assert packages_for("local[*]", tmp_path) == []
    assert packages_for("spark://10.0.0.1:7077", tmp_path) == [package(tmp_path)]
