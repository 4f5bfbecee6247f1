"""Finds the real trades that tests compare with. They are never part of this repository."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def real_data(*parts: str) -> Path:
    """Return a path inside the real data, or skip the test and say where the data was
    looked for.
    """
    root = Path(os.environ.get("TRUETAPE_DATA") or _BESIDE)
    if not root.is_dir():
        pytest.skip(f"no real trades at {root}; set TRUETAPE_DATA to where they are")
    return root.joinpath(*parts)
