"""Replay: which files are refused before anything is sent."""

from pathlib import Path

import pytest

from support.build import at
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.market.resolution import MS_NS
from truetape.tour.replay import require_past

TRADE = '{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"%s","price":"1","size":"1"}\n'
BEGIN = "2026-11-20T14:31:10"
BEGIN_MS = at(BEGIN) // MS_NS


def written(folder: Path, *lines: str) -> Path:
    file = folder / "day.jsonl"
    file.write_text("".join(lines))
    return file


@pytest.mark.parametrize("read_ms", [BEGIN_MS - 1_000, BEGIN_MS, BEGIN_MS + 1])
def test_a_file_that_begins_in_the_past_is_sent(tmp_path: Path, read_ms: int) -> None:
    """Later records, and the last second before the clock, do not matter."""
    file = written(tmp_path, "no trade\n", TRADE % f"{BEGIN}Z", TRADE % "2098-01-02T15:00:00Z")

    require_past(file, "truetape", Limits(), read_ms)


def test_a_file_that_begins_in_the_future_is_refused(tmp_path: Path) -> None:
    """It could never be sent again, and each of its records would be a dead letter."""
    file = written(tmp_path, "no trade\n", TRADE % f"{BEGIN}Z")

    with pytest.raises(ConfigError, match=f"day.jsonl begins at {BEGIN}Z, which is in the future"):
        require_past(file, "truetape", Limits(), BEGIN_MS - 1_001)


def test_a_file_without_an_event_is_sent_to_become_dead_letters(tmp_path: Path) -> None:
    require_past(written(tmp_path, "no trade\n"), "truetape", Limits(), BEGIN_MS)
