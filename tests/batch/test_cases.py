"""Small inputs in many vendors' formats, with the right bars: both engines give them.

The inputs are not part of this repository; `docs/DATA.md` has more.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.data import cases_folder
from truetape.cli.bars import bars
from truetape.feeds.contract import contract_file

FOLDER = cases_folder()
CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (FOLDER / "cases.jsonl").read_text("utf-8").splitlines() if FOLDER
] if FOLDER else []  # fmt: skip
OWN_VENUES = {"bybit": "BYBIT"}
"""Feeds whose market the cases call by another name, since they had no venue of their own."""

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="no cases; set TRUETAPE_CASES to their folder"
)


@pytest.fixture
def feed_of(tmp_path: Path) -> "object":
    """Return the feed of a case: one that is shipped, or the native one with prices of any sign."""

    def found(name: str) -> str:
        if name != "truetape-neg":
            return name
        text = (
            contract_file("truetape").read_text("utf-8").replace("feed: truetape", f"feed: {name}")
        )
        file = tmp_path / f"{name}.yaml"
        file.write_text(text.replace("  price: price\n", "  price: {path: price, sign: any}\n"))
        return str(file)

    return found


def folded(case: dict[str, Any], feed: str, engine: str) -> Result:
    assert FOLDER is not None
    words = ["--feed", feed, "--profile", case["profile"], "--resolution", case["resolution"]]
    symbol = ["--symbol-is", "ABCUSD"] if feed == "bitfinex" else []
    return CliRunner().invoke(
        bars, [str(FOLDER / case["file"]), *words, *symbol, "--engine", engine]
    )


def agrees(found: str, expected: str, feed: str) -> bool:
    """True if a line has the values of another, whose numbers have fewer decimals."""
    for one, other in zip(found.split(","), expected.split(","), strict=True):
        if one == other or one == OWN_VENUES.get(feed):
            continue
        places = len(other.partition(".")[2])
        if round(Decimal(one), places) != Decimal(other):
            return False
    return True


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if isinstance(case["expected"], list)],
    ids=lambda case: case["id"],
)
def test_a_case_has_the_right_bars(case: dict[str, Any], engine: str, feed_of: Any) -> None:
    result = folded(case, feed_of(case["feed"]), engine)

    lines = result.stdout.splitlines()[1:]
    assert len(lines) == len(case["expected"]), result.output
    pairs = zip(lines, case["expected"], strict=True)
    assert all(agrees(found, expected, case["feed"]) for found, expected in pairs), lines


def test_the_name_of_a_folder_is_no_symbol() -> None:
    (case,) = [case for case in CASES if case["id"] == "01c"]

    lines = folded(case, case["feed"], "kernel").stdout.splitlines()[1:]

    assert {line.split(",")[0] for line in lines} == {"ABCUSDT"}


def test_a_sale_with_a_negative_size_adds_to_the_volume() -> None:
    (case,) = [case for case in CASES if case["id"] == "14"]

    (line,) = folded(case, case["feed"], "kernel").stdout.splitlines()[1:]

    assert line.endswith(",25.5,25.75,25.5,25.75,1.75,25.678571428571428571,2")


@pytest.mark.parametrize("name", ["02", "05", "08", "22", "25", "28", "30", "31"])
def test_each_other_input_is_read_or_each_rejection_has_its_place(name: str, feed_of: Any) -> None:
    """These have no bars of their own in the list."""
    assert FOLDER is not None
    feeds = {"02": "binance-microseconds", "22": "databento-cme", "25": "truetape-neg", "30": "taq"}
    (file,) = FOLDER.glob(f"{name}-*")
    words = ["--feed", feed_of(feeds.get(name, "truetape")), "--profile", "all"]
    result = CliRunner().invoke(bars, [str(file), *words, "--resolution", "1m"])

    counts = result.stderr.splitlines()
    assert " received = " in counts[0], result.output
    rejected = [line for line in counts if line.startswith("  rejected ")]
    assert len([line for line in counts if line.startswith(f"    {file}:")]) >= len(rejected)
