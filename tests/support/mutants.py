"""Copies of the package with one rule broken on purpose, and whether tests fail on them.

A mutant is a copy beside the checkout's data, first on the path of a pytest of its own.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PASSED, FAILED = 0, 1
_DATA = ("schemas", "influx", "dags", "plugins", "spark")
_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` occurs once in the module; with `new` in its place, `rule` no longer holds."""

    rule: str
    module: str
    old: str
    new: str


def outcome(mutant: Mutant | None, tests: Sequence[str], folder: Path) -> int:
    """Return PASSED or FAILED of the first test to fail; None stands for the package as it is.

    AssertionError where the mutant is no program, or pytest ran nothing.
    """
    package = folder / "src" / "truetape"
    shutil.copytree(ROOT / "src/truetape", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _DATA:
        (folder / name).symlink_to(ROOT / name)
    if mutant is not None:
        _break(package / mutant.module, mutant)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "", *tests],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "src"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "examples"),
        },
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert ran.returncode in (PASSED, FAILED), ran.stdout + ran.stderr
    assert "error" not in ran.stdout.splitlines()[-1], ran.stdout
    return ran.returncode


def _break(path: Path, mutant: Mutant) -> None:
    text = path.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.rule}: not once in {mutant.module}: {mutant.old}"
    path.write_text(text.replace(mutant.old, mutant.new))
