"""The gate's decision, over any results."""

from hypothesis import given
from hypothesis import strategies as st

from truetape.quality.gate import Closed, Open, decide
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity


def result(rule: str, severity: Severity, passed: bool, **values: object) -> RuleResult:
    """Build a result from harmless defaults."""
    return RuleResult("trades", rule, severity, "a rule", "trades", passed, **values)  # type: ignore[arg-type]


GATE, FLAG = Severity.GATE, Severity.FLAG
RESULTS = st.lists(
    st.builds(result, st.text("TB", min_size=1), st.sampled_from(Severity), st.booleans())
)


@given(RESULTS)
def test_only_broken_gate_rules_close_the_gate(
    results: list[RuleResult],
) -> None:
    verdict = decide(results)

    broken = [one for one in results if one.severity == "gate" and not one.passed]
    assert isinstance(verdict, Closed) == bool(broken)
    if isinstance(verdict, Closed):
        assert list(verdict.failing) == broken


@given(RESULTS)
def test_a_flag_never_closes_the_gate(results: list[RuleResult]) -> None:
    """Whatever the flags say, the verdict is that of the gate rules alone."""
    without = [one for one in results if one.severity is GATE]

    assert isinstance(decide(results), Open) == isinstance(decide(without), Open)
    assert all(one.severity is FLAG for one in decide(results).flags)


def test_without_results_the_gate_is_open() -> None:
    assert decide([]) == Open(())


def test_a_reason_names_rules_row_counts_and_unchecked_rules() -> None:
    verdict = decide(
        [
            result("T4", GATE, passed=False, rows=1_000, unexpected=2),
            result("T5", GATE, passed=False, error="no column size"),
            result("T6", GATE, passed=False, observed="missing ['late']"),
            result("T8", GATE, passed=False, rows=1_000, unexpected=7),
            result("T9", FLAG, passed=False, rows=1, unexpected=1),
        ]
    )

    assert isinstance(verdict, Closed)
    assert verdict.reason == (
        "T4 (a rule): 2 values in 1,000 rows; "
        "T5 (a rule): could not be checked: no column size; "
        "T6 (a rule): missing ['late']; and by T8"
    )
    assert [one.rule for one in verdict.flags] == ["T9"]


def test_a_rule_about_a_whole_table_has_share_zero_or_one() -> None:
    assert result("T1", GATE, passed=False, observed="missing").share == 1.0
    assert result("T1", GATE, passed=True).share == 0.0
    assert result("T4", GATE, passed=False, rows=8, unexpected=2).share == 0.25
