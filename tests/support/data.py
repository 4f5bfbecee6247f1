"""Finds real trades and small cases that tests compare with: never part of this repository."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared"


def real_data(*parts: str) -> Path:
    """Return a path inside the real data, or skip the test and say where the data was
    looked for.
    """
    root = Path(os.environ.get("TRUETAPE_DATA") or _BESIDE / "data")
    if not root.is_dir():
        pytest.skip(f"no real trades at {root}; set TRUETAPE_DATA to where they are")
    return root.joinpath(*parts)


def cases_folder() -> Path | None:
    """Return the folder of small inputs with the right bars, None if there is none."""
    root = Path(os.environ.get("TRUETAPE_CASES") or _BESIDE / "cases")
    return root if (root / "cases.jsonl").is_file() else None
