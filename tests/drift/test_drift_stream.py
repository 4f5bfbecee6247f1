"""The ledger beside the truth when Spark itself served the provisional bars."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.spark

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "drift.py"
SMALL = ("--trades", "4000", "--symbols", "3", "--minutes", "20", "--batches", "20")
AT_ANY_COST = ("--most-cost", "1000")
"""Right or wrong is tested here; what it costs is measured by the benchmark."""


def test_every_trouble_of_a_streamed_session_is_told_with_its_cause_and_nothing_else() -> None:
    command = [sys.executable, str(BENCHMARK), *SMALL, *AT_ANY_COST]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr[-2_000:]
    assert " right, 0 wrong" in done.stdout
    for cause in ("late", "duplicate", "correction", "cancel"):
        assert f"\n{cause:>16} " in done.stdout
