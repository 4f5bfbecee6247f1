"""The README's first command, as a new user runs it, and the charts that it links to."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.airflow_page import signed_in_page
from truetape.host.settings import Settings
from truetape.tour import demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.real, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
TOUR_WITHIN_S = 1_500.0
DRAWN = "Number(document.querySelector('#chart').dataset.bars)"


@pytest.fixture
def tour(tmp_path: Path) -> Iterator[tuple[str, Settings]]:
    """The output of `make demo`, and the settings of the system that it leaves running."""
    env = os.environ | {"TRUETAPE_HOME": str(tmp_path)}
    try:
        done = subprocess.run(
            ["make", "demo"],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=TOUR_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield done.stdout, demo.demo_settings(Settings.from_env(env))
    finally:
        subprocess.run(
            ["uv", "run", "--frozen", "truetape", "demo", "--down"], cwd=ROOT, env=env, check=True
        )


def test_the_demo_runs_its_six_parts_and_links_to_charts(
    tour: tuple[str, Settings], browser: "Browser"
) -> None:
    output, settings = tour
    plain = re.sub(r"\s+", " ", output)

    for part in range(1, 7):
        assert f"{part} of 6" in output
    lost = re.search(r"([\d,]+) archived records are deleted", plain)
    filled = re.search(
        r"([\d,]+) missing and in Kafka, 0 lost to retention\. Ingested: ([\d,]+)\.", plain
    )
    assert lost is not None
    assert filled is not None
    assert lost[1] == filled[1] == filled[2] != "0"
    assert "none differs" in plain
    assert re.search(r"gate was open: \d+ rules checked [\d,]+ rows", plain)
    page = signed_in_page(browser, settings, demo.USER)
    bars = {}
    for address, symbol in re.findall(r"(http://\S+/market\?symbol=(\w+))", output):
        began = time.monotonic()
        page.goto(address)
        page.locator("#chart[data-drawn=yes]").wait_for()
        bars[symbol] = page.evaluate(DRAWN)
        waited = time.monotonic() - began
        print(f"{symbol}: a chart of {bars[symbol]} bars {waited:.1f} s after the request")
    page.context.close()
    assert set(bars) == {"IBM", "BTCUSD"}
    assert all(count > 1 for count in bars.values())
