"""Every gate rule is broken once: the gate closes for it and names the rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.build import VENUES
from support.quality_cases import CASES, Case
from support.serving import own_buckets
from support.session_lake import FRIDAY, LakeSession, good_events, lake_session
from truetape.lake.bars import read_session_bars
from truetape.quality.bar_frames import bar_frames
from truetape.quality.edit_frames import reconciliation_frames
from truetape.quality.expectations import validate
from truetape.quality.frames import Frame, SuiteTable
from truetape.quality.gate import Closed, Open, decide
from truetape.quality.results import RuleResult
from truetape.quality.session_tables import read_session
from truetape.quality.suite import Severity, Suite, load_suite
from truetape.quality.trade_frames import newest_receipt_ns, trade_frames
from truetape.serving.embedded import EmbeddedStore

SLACK_NS = 1_000_000_000
GATES = (SuiteTable.TRADES, SuiteTable.BARS, SuiteTable.RECONCILIATION)
NEVER = ("R23", "R24")
"""Gate rules that a session in the lake cannot break; `test_edit_frames` breaks them."""


@pytest.fixture(scope="module")
def good() -> LakeSession:
    """The session that every case breaks."""
    return lake_session(good_events())


def checked(made: LakeSession, folder: Path, suite: Suite) -> list[RuleResult]:
    """Write a session and check it by one suite."""
    lake = str(folder)
    made.write(lake)
    tables = read_session(lake, FRIDAY)
    newest = 0 if tables.trades is None else newest_receipt_ns(tables.trades)
    values = {
        "session_start_ns": FRIDAY.start_ns,
        "session_end_ns": FRIDAY.end_ns,
        "future_slack_ns": SLACK_NS,
        "newest_event_ns": newest + SLACK_NS,
    }

    def frames() -> Iterator[Frame]:
        match suite.id:
            case "trades":
                yield from trade_frames(tables, VENUES["XNYS"], {}, FRIDAY.end_ns * 2)
            case "bars":
                yield from bar_frames(tables, VENUES["XNYS"], {})
            case _:
                store = EmbeddedStore(folder / "bars.sqlite", own_buckets("history"))
                yield from reconciliation_frames(read_session_bars(lake, FRIDAY), store, 1, "sip 1")

    return validate(suite, frames(), values)


def gates(name: str, *only: str) -> Suite:
    """Return a suite without its flags, and without all rules but some: each expectation costs 12
    to 25 ms. That the other rules of a suite hold when one is broken, `test_closed_gate` says.
    """
    suite = load_suite(name)
    kept = [rule for rule in suite.rules if rule.severity is Severity.GATE]
    wanted = tuple(rule for rule in kept if not only or rule.id in only)
    return suite.model_copy(update={"rules": wanted})


def shows(result: RuleResult, case: Case) -> bool:
    """Say whether one of the rows named is the one that was changed."""
    return any(case.shows.items() <= example.items() for example in result.examples)


@pytest.mark.parametrize("suite", ["trades", "bars", "reconciliation"])
def test_a_good_session_breaks_no_rule(good: LakeSession, tmp_path: Path, suite: str) -> None:
    found = checked(good, tmp_path, load_suite(suite))

    assert {one.rule: one.summary for one in found if not one.passed} == {}
    assert decide(found) == Open(())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_gate_rule_closes_the_gate_and_names_the_row(
    good: LakeSession, tmp_path: Path, case: Case
) -> None:
    broken = good.copy()
    case.change(broken)

    verdict = decide(checked(broken, tmp_path, gates(case.suite, case.rule)))

    assert isinstance(verdict, Closed)
    failing = {one.rule: one for one in verdict.failing if not one.error}
    assert set(failing) == {case.rule}
    assert case.rule in verdict.reason
    found = failing[case.rule]
    if case.shows:
        assert shows(found, case), found.examples
        assert found.unexpected >= len(found.examples) > 0
    else:
        assert found.observed


def test_every_gate_rule_has_a_case() -> None:
    declared = {rule.id for table in GATES for rule in gates(str(table)).rules}

    assert declared == {case.rule for case in CASES} | set(NEVER)


@pytest.mark.parametrize("name", ["trades", "bars"])
def test_a_missing_column_closes_the_gate_with_unchecked_rules(
    good: LakeSession, tmp_path: Path, name: str
) -> None:
    broken = good.copy()
    schema = broken.schemas[name]
    broken.schemas[name] = schema.remove(
        schema.get_field_index("served" if name == "bars" else "late")
    )

    verdict = decide(checked(broken, tmp_path, gates(name)))

    assert isinstance(verdict, Closed)
    reasons = {one.rule: one.summary for one in verdict.failing}
    assert ("missing ['late']" in reasons["T1"]) if name == "trades" else reasons["B1"]
    assert "could not be checked" in reasons["T4" if name == "trades" else "B3"]
