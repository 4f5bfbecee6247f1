"""A small session from Kafka to its boundary; the benchmark checks that its bars are right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "close_to_final.py"
SMALL = ("--trades", "5000", "--symbols", "4")
WITHIN_S = 900


@pytest.mark.real
@pytest.mark.long
def test_every_step_of_a_small_session_is_measured(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"

    done = subprocess.run(
        [sys.executable, str(BENCHMARK), *SMALL, "--json", str(figures)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )

    assert done.returncode == 0, done.stderr[-2_000:]
    steps, totals = json.loads(figures.read_text())["tables"]
    measured = {row["step"]: row["seconds"] for row in steps["rows"]}
    for step in ("archive", "recompute", "gate", "drift notes", "diff", "verify", "boundary"):
        assert measured[step] > 0, step
    (row,) = totals["rows"]
    assert row["rows published"] == row["bars verified"] > 5_000
