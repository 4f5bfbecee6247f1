"""The verb `quality` as a user runs it, on a session in a lake and an embedded store."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.quality_cases import a_negative_size
from support.session_lake import LakeSession, good_events, lake_session
from truetape.cli import truetape
from truetape.errors import ConfigError, GateClosedError

SESSION = ("--venue", "XNYS", "--session", "2024-11-22")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own with a good session in its lake."""
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path))
    monkeypatch.setenv("TRUETAPE_STORE", "embedded")
    monkeypatch.setenv("TRUETAPE_BUCKET_SET", "history")
    lake_session(good_events()).write(str(tmp_path / "lake"))
    return tmp_path


def quality(*words: str) -> Result:
    """Run the verb."""
    return CliRunner().invoke(truetape, ["quality", *words])


def broken() -> LakeSession:
    made = lake_session(good_events())
    a_negative_size(made)
    return made


def test_a_good_session_is_open(home: Path) -> None:
    found = quality(*SESSION)

    assert found.exception is None, found.output
    assert "every rule holds" in found.stdout
    assert "open: 53 of 53 rules hold on 85 trades, 123 bars" in found.stdout


def test_a_broken_session_is_told_with_its_rows_and_its_exit_code(home: Path) -> None:
    broken().write(str(home / "lake"))

    found = quality(*SESSION)

    assert isinstance(found.exception, GateClosedError)
    assert found.exception.exit_code == 66
    assert "T5" in str(found.exception)
    assert "a size is not negative" in found.stdout
    assert "id=1008" in found.stdout
    assert "CLOSED: 52 of 53 rules hold" in found.stdout


def test_json_is_the_report_and_can_be_printed_again(home: Path) -> None:
    first = quality(*SESSION, "--format", "json")

    again = quality("report", *SESSION, "--format", "json")

    assert first.stdout == again.stdout
    assert json.loads(first.stdout)["verdict"] == "open"
    (kept,) = (home / "quality" / "XNYS" / "2024-11-22").iterdir()
    assert kept.read_text() == first.stdout


def test_all_rules_are_listed_when_asked_for(home: Path) -> None:
    found = quality(*SESSION, "--all")

    assert all(f" {rule} " in found.stdout for rule in ("T1", "T32", "B1", "B24", "R12", "R25"))


def test_the_trend_needs_a_session_and_shows_what_breaks(home: Path) -> None:
    assert isinstance(quality("trend", "--venue", "XNYS").exception, ConfigError)
    broken().write(str(home / "lake"))
    quality(*SESSION)

    found = quality("trend", "--venue", "XNYS")

    assert "XNYS 2024-11-22 beside 0 sessions before" in found.stdout
    assert "T5" in found.stdout
    assert "1.1765%" in found.stdout  # 1 of 85
    assert "52 rules never had a row against them" in found.stdout


def test_feeds_are_looked_at_once(home: Path) -> None:
    assert "7 of 7 rules hold on 90 records, 0 left" in quality("feeds").stdout
    assert "7 of 7 rules hold on 0 records, 0 left" in quality("feeds").stdout


def test_what_is_not_served_is_told(home: Path) -> None:
    found = quality("served", *SESSION)

    assert isinstance(found.exception, GateClosedError)
    assert "every recomputed bar is served" in found.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "give --venue and --session, or one of the commands"),
        (("--venue", "XNYS"), "give --venue and --session"),
        (("report",), "Missing option '--venue'"),
    ],
)
def test_wrong_usage_says_what_to_give(words: tuple[str, ...], complaint: str) -> None:
    found = quality(*words)

    assert found.exit_code == 2
    assert complaint in found.output


def test_without_a_report_the_verb_is_named(home: Path) -> None:
    found = quality("report", *SESSION)

    assert "run `truetape quality` for it first" in str(found.exception)


def test_publishing_without_the_gate_needs_a_reason() -> None:
    found = CliRunner().invoke(truetape, ["publish", *SESSION, "--no-gate"])

    assert found.exit_code == 2
    assert "--no-gate needs --reason" in found.output
