"""The rows that boards fetch for a year of one symbol and a day of 500; the benchmark judges."""

import subprocess
import sys

import pytest

from support.grafana import GRAFANA

BENCHMARK = GRAFANA.parent / "benchmarks" / "dashboards.py"
WITHIN_S = 1_800


@pytest.mark.real
@pytest.mark.long
def test_no_panel_fetches_many_more_rows_than_it_draws() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--symbols", "500", "--runs", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )

    assert done.returncode == 0, done.stderr
    assert "500 symbols, 357,476 bars" in done.stdout
