"""The verb `quality` as a user runs it, on a session in a lake and an embedded store."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.quality_cases import a_negative_size
from support.session_lake import good_events, lake_session
from truetape.cli.main import truetape
from truetape.host.errors import ConfigError, GateClosedError

SESSION = ("--venue", "XNYS", "--session", "2024-11-22")
RULES = 56


def quality(*words: str) -> Result:
    """Run the verb."""
    return CliRunner().invoke(truetape, ["quality", *words])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose lake has a good session; each check takes a second, so tests share them."""
    folder = tmp_path_factory.mktemp("home")
    lake_session(good_events()).write(str(folder / "lake"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUETAPE_HOME", str(folder))
        patch.setenv("TRUETAPE_STORE", "embedded")
        patch.setenv("TRUETAPE_BUCKET_SET", "history")
        yield folder


@pytest.fixture(scope="module")
def first(home: Path) -> Result:
    """The first check of the session."""
    return quality(*SESSION)


def test_a_session_without_problems_opens_the_gate(first: Result) -> None:
    assert first.exception is None, first.output
    assert "every rule holds" in first.stdout
    assert f"open: {RULES} of {RULES} rules hold on 85 trades, 123 bars" in first.stdout


def test_the_newest_report_can_be_printed_again_as_table_and_json(
    first: Result, home: Path
) -> None:
    (file,) = (home / "quality" / "XNYS" / "2024-11-22").iterdir()

    assert quality("report", *SESSION).stdout == first.stdout
    assert quality("report", *SESSION, "--format", "json").stdout == file.read_text()
    assert json.loads(file.read_text())["verdict"] == "open"


def test_all_lists_the_passed_rules_too(first: Result) -> None:
    result = quality("report", *SESSION, "--all")

    assert all(f" {rule} " in result.stdout for rule in ("T1", "T33", "B1", "B24", "R12", "R25"))


def test_a_broken_session_prints_its_rows_and_exits_with_66(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path))
    broken = lake_session(good_events())
    a_negative_size(broken)
    broken.write(str(tmp_path / "lake"))
    assert isinstance(quality("trend", "--venue", "XNYS").exception, ConfigError)

    result = quality(*SESSION)

    assert isinstance(result.exception, GateClosedError)
    assert result.exception.exit_code == 66
    assert "T5" in str(result.exception)
    assert "a size is not negative" in result.stdout
    assert "id=1008" in result.stdout
    assert f"CLOSED: {RULES - 1} of {RULES} rules hold" in result.stdout
    trend = quality("trend", "--venue", "XNYS").stdout
    assert "XNYS 2024-11-22 and the 0 sessions before" in trend
    assert "1.1765%" in trend  # 1 of 85
    assert f"{RULES - 1} rules were never broken by a row" in trend


def test_each_archived_record_is_checked_once(home: Path) -> None:
    assert "7 of 7 rules hold on 90 records, 0 left" in quality("feeds").stdout
    assert "7 of 7 rules hold on 0 records, 0 left" in quality("feeds").stdout


def test_bars_missing_from_the_store_fail_the_check_of_served_bars(home: Path) -> None:
    result = quality("served", *SESSION)

    assert isinstance(result.exception, GateClosedError)
    assert "every recomputed bar is served" in result.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "give --venue and --session, or one of the commands"),
        (("--venue", "XNYS"), "give --venue and --session"),
        (("report",), "Missing option '--venue'"),
    ],
)
def test_wrong_usage_names_the_missing_options(words: tuple[str, ...], complaint: str) -> None:
    result = quality(*words)

    assert result.exit_code == 2
    assert complaint in result.output


def test_a_missing_report_names_the_command_that_makes_it(home: Path) -> None:
    result = quality("report", "--venue", "XNYS", "--session", "2024-11-21")

    assert "run `truetape quality` for it first" in str(result.exception)


@pytest.mark.parametrize("option", ["--no-gate", "--begin", "--replace-revert", "--rev=1"])
def test_an_unusual_publication_needs_a_reason(option: str) -> None:
    result = CliRunner().invoke(truetape, ["publish", *SESSION, option])

    assert result.exit_code == 2
    assert "--no-gate, --rev, --begin and --replace-revert need --reason" in result.output
