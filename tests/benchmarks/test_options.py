"""Every benchmark can write its figures as JSON."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MEASURED = ("naive_pipeline.py",)
"""Programs that a benchmark starts and measures."""
HELP_OF_ALL = """
import contextlib, io, runpy, sys
for path in sys.argv[1:]:
    sys.argv, text = [path, "--help"], io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name="__main__")
    print(path if "--json FILE" in text.getvalue() else "")
"""


@pytest.mark.real
def test_every_benchmark_takes_a_file_for_json() -> None:
    paths = [
        str(path)
        for path in sorted(BENCHMARKS.glob("*.py"))
        if '__name__ == "__main__"' in path.read_text() and path.name not in MEASURED
    ]

    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL, *paths],
        cwd=BENCHMARKS,
        env={"PYTHONPATH": f"{BENCHMARKS}:{BENCHMARKS.parent / 'src'}", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert len(paths) > 10
    assert done.stdout.splitlines() == paths
