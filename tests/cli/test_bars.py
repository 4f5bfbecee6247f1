"""`truetape bars`: bars from files without a server; both engines print the same bytes."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.data import real_data
from truetape.cli.main import truetape

NATIVE = """\
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1","event_time":"2026-11-20T14:30:00Z","price":"100.00","size":"100","conditions":["O"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:00.5Z","price":"101","size":"50"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"3","event_time":"2026-11-20T14:30:59.999999999Z","price":"99.5","size":"10"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"2","event_time":"2026-11-20T14:30:00.5Z","price":"101","size":"50"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"4","event_time":"2026-11-20T21:00:41Z","price":"102","size":"1000","conditions":["6"]}
{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"5","event_time":"2026-11-20T21:05:00Z","price":"103","size":"7","conditions":["T"]}
{"kind":"cancel","symbol":"IBM","venue":"XNYS","id":"3","received_time":"2026-11-20T22:00:00Z"}
not json
"""
HEADER = "symbol,venue,resolution,start,open,high,low,close,volume,vwap,trades"


@pytest.fixture
def day(tmp_path: Path) -> Path:
    path = tmp_path / "day.jsonl"
    path.write_text(NATIVE)
    return path


def test_duplicates_and_cancels_are_applied(day: Path) -> None:
    outcome = bars(day, "--resolution", "1m", "--profile", "sip")

    assert outcome.stdout.splitlines()[:2] == [
        HEADER,
        "IBM,XNYS,1m,2026-11-20T14:30:00Z,100,101,100,101,150,100.333333333333333333,2",
    ]
    assert "8 records received = 7 accepted + 1 rejected" in outcome.stderr


def test_the_daily_bar_includes_the_closing_auction_but_no_extended_hours(day: Path) -> None:
    outcome = bars(day, "--resolution", "1d", "--profile", "sip")

    expected = "IBM,XNYS,1d,2026-11-20T14:30:00Z,100,102,100,102,1150,101.782608695652173913,3"
    assert outcome.stdout.splitlines() == [HEADER, expected]


def test_a_trade_still_counts_as_of_a_time_before_its_cancel(day: Path) -> None:
    options = ("--resolution", "1m", "--profile", "sip", "--as-of", "2026-11-20T21:59:59.9Z")

    outcome = bars(day, *options)

    assert outcome.stdout.splitlines()[1].endswith("100,101,99.5,99.5,160,100.28125,3")


FUTURE = """\
{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"2098-01-02T15:00:00Z","price":"1","size":"1"}
{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"2026-11-20T15:00:00Z","received_time":"2098-01-02T15:00:00Z","price":"1","size":"1"}
"""


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_times_beyond_the_time_of_reading_are_rejected(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "future.jsonl"
    path.write_text(FUTURE)

    outcome = bars(path, "--resolution", "1m", "--profile", "all", "--engine", engine)

    assert outcome.stdout.splitlines() == [HEADER]
    assert outcome.stderr.splitlines() == [
        "2 records received = 0 accepted + 2 rejected; 0 bars",
        "  rejected future-event-time: 1",
        "  rejected future-receipt-time: 1",
    ]


def test_an_unknown_profile_is_an_error_that_lists_the_profiles(day: Path) -> None:
    outcome = bars(day, "--resolution", "1m", "--profile", "nyse", code=78)

    assert "sip" in str(outcome.exception) or "sip" in outcome.stderr


@pytest.mark.parametrize("resolution", ["1s", "5m", "1d"])
def test_both_engines_print_the_same_bytes(day: Path, resolution: str) -> None:
    options = ("--resolution", resolution, "--profile", "sip")

    assert bars(day, *options, "--engine", "reference").stdout == bars(day, *options).stdout


@pytest.mark.data
@pytest.mark.real  # the reference reads 33,000 trades
@pytest.mark.parametrize("resolution", ["1s", "1h"])
def test_both_engines_print_the_same_bytes_for_a_real_day(resolution: str) -> None:
    path = real_data("lean_us_equity_2013-10", "tick", "ibm", "20131008_trade.zip")
    options = ("--resolution", resolution, "--profile", "lean")
    feed = "lean-equity-tick"

    by_reference = bars(path, *options, "--engine", "reference", feed=feed)

    assert by_reference.stdout == bars(path, *options, feed=feed).stdout


def test_the_help_has_an_example() -> None:
    shown = subprocess.run(
        ["truetape", "bars", "--help"], capture_output=True, text=True, check=True
    )

    assert "truetape bars 20131007_trade.zip" in shown.stdout


def bars(path: Path, *options: str, feed: str = "truetape", code: int = 0) -> Result:
    outcome = CliRunner().invoke(truetape, ["bars", str(path), "--feed", feed, *options])
    exit_code = getattr(outcome.exception, "exit_code", outcome.exit_code)
    assert exit_code == code, outcome.output
    return outcome
