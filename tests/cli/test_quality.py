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
RULES = 54


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


def test_a_good_session_is_open(first: Result) -> None:
    assert first.exception is None, first.output
    assert "every rule holds" in first.stdout
    assert f"open: {RULES} of {RULES} rules hold on 85 trades, 123 bars" in first.stdout


def test_a_report_can_be_printed_again_for_eyes_and_programs(first: Result, home: Path) -> None:
    (kept,) = (home / "quality" / "XNYS" / "2024-11-22").iterdir()

    assert quality("report", *SESSION).stdout == first.stdout
    assert quality("report", *SESSION, "--format", "json").stdout == kept.read_text()
    assert json.loads(kept.read_text())["verdict"] == "open"


def test_all_rules_are_listed_when_asked_for(first: Result) -> None:
    found = quality("report", *SESSION, "--all")

    assert all(f" {rule} " in found.stdout for rule in ("T1", "T33", "B1", "B24", "R12", "R25"))


def test_a_broken_session_is_told_with_its_rows_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path))
    broken = lake_session(good_events())
    a_negative_size(broken)
    broken.write(str(tmp_path / "lake"))
    assert isinstance(quality("trend", "--venue", "XNYS").exception, ConfigError)

    found = quality(*SESSION)

    assert isinstance(found.exception, GateClosedError)
    assert found.exception.exit_code == 66
    assert "T5" in str(found.exception)
    assert "a size is not negative" in found.stdout
    assert "id=1008" in found.stdout
    assert f"CLOSED: {RULES - 1} of {RULES} rules hold" in found.stdout
    trend = quality("trend", "--venue", "XNYS").stdout
    assert "XNYS 2024-11-22 and the 0 sessions before" in trend
    assert "1.1765%" in trend  # 1 of 85
    assert f"{RULES - 1} rules were never broken by a row" in trend


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
    found = quality("report", "--venue", "XNYS", "--session", "2024-11-21")

    assert "run `truetape quality` for it first" in str(found.exception)


def test_publishing_without_the_gate_needs_a_reason() -> None:
    found = CliRunner().invoke(truetape, ["publish", *SESSION, "--no-gate"])

    assert found.exit_code == 2
    assert "--no-gate, --rev and --begin need --reason" in found.output
