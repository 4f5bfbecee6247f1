"""`truetape drift`: tables, CSV, JSON lines and charts of the drift ledger."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.drifting import DAY, publish_and_record
from support.session_lake import lake_session
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.cli.drift import CAUSES, drift
from truetape.drift.attribution import Cause
from truetape.host.errors import TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.serving.store import ServedBar

Run = Callable[..., Result]


def published(environment: dict[str, str], served: dict[Resolution, list[ServedBar]]) -> None:
    """Publish `DAY` over provisional bars."""
    settings = Settings.from_env(environment)
    lake_session(DAY).write(settings.lake)
    with closing(open_store(settings)) as store:
        serve(store, served)
        publish_and_record(settings.lake, store)


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    published(environment, provisional_bars(counted_trades(DAY)))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(drift, arguments, env=environment)

    return invoke


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.output)))


def test_each_cause_of_each_field_gives_one_line(run: Run) -> None:
    lines = rows(run("--session", "2024-11-22", "--symbol", "IBM", "--format", "csv"))

    assert [
        (line["start"][11:], line["field"], line["cause"], line["delta"]) for line in lines
    ] == [
        ("17:00:00Z", "volume", "cancel", "-10"),
        ("17:00:00Z", "trades", "cancel", "-1"),
        ("17:01:00Z", "high", "late", "+1"),
        ("17:01:00Z", "close", "late", "+1"),
        ("17:01:00Z", "volume", "late", "+10"),
        ("17:01:00Z", "vwap", "late", "+0.333333333333333333"),
        ("17:01:00Z", "trades", "late", "+1"),
        *(("17:02:00Z", field, "correction", "+2") for field in ("open", "high", "low", "close")),
        ("17:02:00Z", "volume", "correction", "+20"),
        ("17:02:00Z", "vwap", "correction", "+2"),
    ]
    assert (lines[2]["before"], lines[2]["after"], lines[2]["lateness_s"]) == (
        "100", "101", "300.000"
    )  # fmt: skip
    assert [line["trades"] for line in lines] == ["2"] * 2 + ["63"] * 5 + ["121"] * 6


def test_the_table_ends_with_sums_that_add_up(run: Run) -> None:
    lines = run("--session", "2024-11-22").output.splitlines()

    assert lines[-3:] == [
        "3 bars changed: 1 late, 1 correction, 1 cancel",
        "volume: +20 = late +10, correction +20, cancel -10",
        "trades: +0 = late +1, cancel -1",
    ]


def test_cause_shows_only_that_cause(run: Run) -> None:
    lines = rows(run("--cause", "late", "--resolution", "1s", "--format", "csv"))

    assert {(line["start"], line["change"], line["cause"]) for line in lines} == {
        ("2024-11-22T17:01:03Z", "add", "late")
    }
    assert len(lines) == 7


def test_json_lines_have_the_trades_of_each_cause(run: Run) -> None:
    lines = [json.loads(line) for line in run("--format", "jsonl").output.splitlines()]

    assert lines[0]["trades"] == ["2"]
    assert {line["session"] for line in lines} == {"2024-11-22"}


def test_a_session_without_drift_has_no_lines(run: Run) -> None:
    assert run("--session", "2024-11-21").output == "0 bars changed\n"


def test_the_chart_has_a_part_for_each_cause(run: Run) -> None:
    assert run("--plot", "d.html").output == "3 bars changed, in d.html\n"

    page = Path("d.html").read_text("utf-8")
    for cause in ("late", "correction", "cancel"):
        assert f", {cause}: 1</title>" in page
    assert "duplicate" not in page
    assert run("--plot", "d.png").exit_code == 2


def test_unexplained_drift_fails_the_command(run: Run, environment: dict[str, str]) -> None:
    """A second publication finds a served price that no print ever had."""
    assert run().exit_code == 0
    with closing(open_store(Settings.from_env(environment))) as store:
        minute = next(store.read(Resolution.MINUTE, 0, 2**63 - 1, symbols=["KO"]))
        store.write(Resolution.MINUTE, [replace(minute, high=50.5)])
        publish_and_record(Settings.from_env(environment).lake, store)

    result = run()

    assert isinstance(result.exception, TruetapeError)
    assert "1 bar has drift that no event explains, first KO 1m" in str(result.exception)
    assert "unexplained" in result.output


def test_the_option_cause_lists_every_cause() -> None:
    assert set(CAUSES) == {str(cause) for cause in Cause}
