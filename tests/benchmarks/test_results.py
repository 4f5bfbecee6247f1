"""The figures that a benchmark prints, and the same figures as JSON."""

import argparse
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["/home/somebody/benchmarks/kernel.py"])


def test_the_json_holds_the_printed_figures_unrounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import results

    file = tmp_path / "figures.json"
    rows = [
        ("decode", results.whole(1234.5), results.seconds(0.25)),
        ("wait", results.whole(7), results.Figure(30.125, "{:.2f} s", at_least=True)),
    ]
    table = results.Table(("step", "rows", "time"), rows, "Two steps", "both were right")

    results.show([table], argparse.Namespace(json=file, trades=20))

    assert capsys.readouterr().out == (
        "\nTwo steps\n\n"
        "step     rows      time\n"
        "------  -----  --------\n"
        "decode  1,234     0.2 s\n"
        "wait        7  >30.12 s\n\n"
        "both were right\n"
    )
    written = json.loads(file.read_text())
    assert written["tables"] == [
        {
            "title": "Two steps",
            "rows": [
                {"step": "decode", "rows": 1234.5, "time": 0.25},
                {"step": "wait", "rows": 7, "time": {"at_least": 30.125}},
            ],
            "note": "both were right",
        }
    ]
    assert written["benchmark"] == "kernel.py"
    assert written["versions"]["duckdb"]
    assert written["cores"] >= 1


def test_the_json_names_the_arguments_but_no_path(tmp_path: Path) -> None:
    import results

    arguments = argparse.Namespace(
        json=tmp_path / "figures.json", trades=20, rates=[1, 2], work=tmp_path, step=None
    )

    results.show([], arguments)

    text = arguments.json.read_text()
    assert json.loads(text)["arguments"] == {"trades": 20, "rates": [1, 2]}
    assert str(tmp_path) not in text
    assert "/home/somebody" not in text
