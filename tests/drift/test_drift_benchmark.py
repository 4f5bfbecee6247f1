"""The benchmark of the drift ledger, on a small session: records, `raw`, recompute, publication."""

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "drift.py"
SMALL = ("--trades", "4000", "--symbols", "3", "--minutes", "20")
ANY_COST = ("--most-cost", "1000")
"""This tests correctness; the benchmark measures the cost."""


def test_each_fault_of_a_session_is_reported_with_its_cause_and_no_other() -> None:
    command = [sys.executable, str(BENCHMARK), *SMALL, *ANY_COST]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr[-2_000:]
    assert " right, 0 wrong" in done.stdout
    for cause in ("late", "duplicate", "correction", "cancel"):
        assert f"\n{cause} " in done.stdout
