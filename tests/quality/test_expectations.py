"""Great Expectations on Arrow frames: exact numbers, nulls, chunks, and what cannot be checked."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.machines import examples
from truetape.quality import expectations
from truetape.quality.expectations import MAX_EXAMPLES, validate
from truetape.quality.frames import Frame
from truetape.quality.results import RuleResult
from truetape.quality.suite import Argument, Suite, load_suite
from truetape.quality.violations import unexpected

BETWEEN = "ExpectColumnValuesToBeBetween"
UNIQUE = "ExpectCompoundColumnsToBeUnique"


@pytest.fixture(autouse=True, params=[False, True], ids=["whole", "counted"])
def _counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations gets a short frame whole; the rows of a long one are counted before."""
    if request.param:
        monkeypatch.setattr(expectations, "MAX_WHOLE_ROWS", -1)


Check = tuple[str, Mapping[str, Argument]]


def suite_of(*rules: Sequence[Check], where: str | None = None) -> Suite:
    """Return a suite of rules about trades, each of some checks."""
    rows = tuple(
        {
            "id": f"T{number}",
            "severity": "gate",
            "meaning": "a rule",
            "source": "tests",
            "frame": "trades",
            "where": where,
            "checks": tuple({name: dict(arguments)} for name, arguments in checks),
        }
        for number, checks in enumerate(rules, 1)
    )
    fields = {"suite": "trades", "version": 1, "table": "trades", "about": "tests"}
    return Suite.model_validate({**fields, "rules": rows})


def checked(
    rows: Mapping[str, Any],
    *checks: Check,
    where: str | None = None,
    values: Mapping[str, int] | None = None,
) -> RuleResult:
    """Check one rule on columns, in the name of the trades suite."""
    (result,) = validate(suite_of(checks, where=where), [frame_of(rows)], values or {})
    return result


def frame_of(rows: Mapping[str, Any]) -> Frame:
    """Return the columns as the frame of trades, with the keys that they lack."""
    keys = {"symbol": "IBM", "event_ns": 1, "id": "1", "topic": "t", "partition": 0, "offset": 0,
            "index": 0}  # fmt: skip
    table = pa.table(dict(rows))
    for name, value in keys.items():
        if name not in rows:
            table = table.append_column(name, pa.array([value] * table.num_rows))
    return Frame("trades", table)


def prices(*texts: str | None) -> pa.Array:
    return pa.array([None if text is None else Decimal(text) for text in texts],
                    pa.decimal128(18, 9))  # fmt: skip


def test_the_last_digit_of_a_price_counts() -> None:
    """Both are the same double."""
    found = checked(
        {"price": prices("123456789.123456789"), "size": prices("123456789.123456788")},
        ("ExpectColumnPairValuesAToBeGreaterThanB",
         {"column_A": "size", "column_B": "price", "or_equal": True}),
    )  # fmt: skip

    assert (found.passed, found.unexpected) == (False, 1)
    assert found.examples[0]["price"] == "123456789.123456789"


def test_a_wide_sum_keeps_its_sign() -> None:
    volume = pa.array([Decimal("-0.00000001"), Decimal(0), Decimal("1e19")], pa.decimal128(28, 8))

    found = checked({"size": volume}, (BETWEEN, {"column": "size", "min_value": 0}))

    assert (found.rows, found.unexpected) == (3, 1)
    assert found.examples[0]["size"] == "-0.00000001"


def test_texts_of_two_columns_are_compared() -> None:
    found = checked(
        {"symbol": ["A", "B"], "id": ["A", "C"], "feed": ["x", "x"]},
        ("ExpectColumnPairValuesToBeEqual", {"column_A": "symbol", "column_B": "id"}),
        ("ExpectColumnValuesToBeInSet", {"column": "feed", "value_set": ("x",)}),
    )

    assert (found.unexpected, found.error) == (1, "")
    assert found.examples[0]["id"] == "C"


def test_terminal_control_characters_are_escaped() -> None:
    check = ("ExpectColumnValuesToBeInSet", {"column": "feed", "value_set": ("x",)})

    found = checked({"feed": ["\x1b[2J", "y" * 500]}, check)

    assert [row["feed"] for row in found.examples] == ["'\\x1b[2J'", "y" * 200]


def test_nanoseconds_beside_nulls_are_not_rounded() -> None:
    times = pa.array([1_700_000_000_000_000_001, None], pa.int64())

    late = (BETWEEN, {"column": "received_ns", "max_value": 1_700_000_000_000_000_000})

    assert checked({"received_ns": times}, late).unexpected == 1


def test_only_the_rule_about_nulls_judges_nulls() -> None:
    columns = {"price": prices("1", None)}

    assert checked(columns, (BETWEEN, {"column": "price", "min_value": 0})).passed
    found = checked(columns, ("ExpectColumnValuesToNotBeNull", {"column": "price"}))
    assert (found.passed, found.rows, found.unexpected) == (False, 2, 1)
    assert found.examples[0]["price"] == ""


def test_a_named_value_is_substituted() -> None:
    check = (BETWEEN, {"column": "size", "max_value": "$future_slack_ns"})

    assert checked({"size": [1, 2]}, check, values={"future_slack_ns": 2}).passed
    assert not checked({"size": [1, 2]}, check, values={"future_slack_ns": 1}).passed


def test_only_rows_that_meet_the_condition_are_checked() -> None:
    check = (BETWEEN, {"column": "size", "max_value": 1})

    found = checked({"size": [1, 2, 3], "keyed": [True, False, None]}, check, where="keyed")

    assert (found.passed, found.rows) == (True, 1)


def test_an_empty_frame_breaks_no_rule() -> None:
    empty = {"size": pa.array([], pa.int64()), "symbol": pa.array([], pa.string())}

    assert checked(empty, (BETWEEN, {"column": "size", "max_value": 1}),
                   (UNIQUE, {"column_list": ("symbol", "size")})).passed  # fmt: skip


def test_a_result_shows_a_few_rows_and_counts_all() -> None:
    found = checked({"size": list(range(100))}, (BETWEEN, {"column": "size", "max_value": 9}))

    assert found.unexpected == 90
    assert [row["size"] for row in found.examples] == [str(size) for size in range(10, 15)]
    assert MAX_EXAMPLES == 5


def test_chunks_contain_whole_symbols_and_their_counts_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Symbols of 3, 4 and 2 rows in chunks of 4; each has its first two sizes twice."""
    monkeypatch.setattr(expectations, "MAX_CHUNK_ROWS", 4)
    symbols = ["A"] * 3 + ["B"] * 4 + ["C"] * 2
    sizes = [1, 1, 5, 1, 1, 6, 7, 1, 1]

    found = checked(
        {"symbol": symbols, "size": sizes, "offset": list(range(9))},
        (UNIQUE, {"column_list": ("symbol", "size")}),
        (BETWEEN, {"column": "size", "max_value": 5}),
    )

    assert (found.rows, found.unexpected) == (9, 6 + 2)
    assert [row["offset"] for row in found.examples] == ["0", "1", "3", "4", "5"]


def test_a_rule_that_cannot_be_evaluated_fails() -> None:
    found = checked({"size": [1]}, ("ExpectColumnValuesToMatchRegex",
                                    {"column": "size", "regex": "("}))  # fmt: skip

    assert not found.passed
    assert found.error
    assert found.summary.startswith("could not be checked: ")


def test_a_check_without_an_outcome_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    every = expectations._outcomes
    monkeypatch.setattr(expectations, "_outcomes", lambda *given: list(every(*given))[:1])

    found = checked(
        {"size": [1]},
        (BETWEEN, {"column": "size", "max_value": 5}),
        (BETWEEN, {"column": "size", "min_value": 0}),
    )

    assert (found.passed, found.error) == (False, "no outcome of check 2")


def test_a_rule_without_its_frame_fails() -> None:
    suite = suite_of([("ExpectColumnValuesToNotBeNull", {"column": "symbol"})])

    (found,) = validate(suite, [], {})

    assert (found.passed, found.error) == (False, "there is no frame 'trades' to check")


def test_a_count_that_great_expectations_does_not_confirm_fails_the_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expectations, "MAX_WHOLE_ROWS", -1)
    monkeypatch.setattr(
        expectations, "unexpected", lambda _, __, rows: np.zeros(rows.num_rows, dtype=bool)
    )

    found = checked({"size": [1, 9]}, (BETWEEN, {"column": "size", "max_value": 5}))

    assert not found.passed
    assert found.error == (
        "of 2 rows check 1 is broken by 0, and by 1 as Great Expectations judges"
    )


VALUES = st.one_of(st.none(), st.integers(-3, 3))


@pytest.mark.parametrize("_counted", [False], ids=["both ways"], indirect=True)
@settings(examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(VALUES, VALUES, st.sampled_from([None, "A", "B", "C1"])), max_size=9)
)
def test_counted_rows_are_those_that_great_expectations_finds(
    rows: list[tuple[int | None, int | None, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every expectation about rows, with missing values."""
    prices_, sizes, symbols = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {
        "price": pa.array([None if one is None else Decimal(one) for one in prices_],
                          pa.decimal128(18, 9)),
        "size": pa.array(sizes, pa.int64()),
        "symbol": pa.array(symbols, pa.string()),
        "offset": pa.array(range(len(rows)), pa.int64()),
    }  # fmt: skip
    suite, frame = suite_of(*([check] for check in EVERY)), frame_of(columns)
    results = []
    for most in (-1, 10**9):
        monkeypatch.setattr(expectations, "MAX_WHOLE_ROWS", most)
        results.append(validate(suite, [frame], {}))
    for check, counted, whole in zip(EVERY, *results, strict=True):
        assert counted == whole, check


EVERY = (
    (BETWEEN, {"column": "size", "min_value": -1, "max_value": 2}),
    (BETWEEN, {"column": "price", "min_value": 0, "strict_min": True}),
    (BETWEEN, {"column": "size", "max_value": 2, "strict_max": True}),
    (UNIQUE, {"column_list": ("symbol", "size")}),
    ("ExpectColumnPairValuesAToBeGreaterThanB", {"column_A": "size", "column_B": "offset"}),
    (
        "ExpectColumnPairValuesAToBeGreaterThanB",
        {"column_A": "size", "column_B": "offset", "or_equal": True},
    ),
    ("ExpectColumnPairValuesToBeEqual", {"column_A": "size", "column_B": "offset"}),
    ("ExpectColumnValuesToBeInSet", {"column": "size", "value_set": (0, 1)}),
    ("ExpectColumnValuesToNotBeInSet", {"column": "size", "value_set": (0, 1)}),
    ("ExpectColumnValuesToMatchRegex", {"column": "symbol", "regex": "^[A-Z]$"}),
    ("ExpectColumnValuesToMatchRegex", {"column": "symbol", "regex": "^(?=.{1,2}$)[A-Z]+$"}),
    ("ExpectColumnValuesToNotBeNull", {"column": "symbol"}),
)


def test_symbols_of_a_long_frame_are_counted_and_not_read_by_great_expectations() -> None:
    """The rule's expression has a lookahead, which Arrow's own expressions lack."""
    (rule,) = [rule for rule in load_suite("trades").rules if rule.id == "T6"]
    (check,) = rule.checks
    symbols = pa.table({"symbol": ["IBM", "BRK.B", "A" * 65, " X", None, "IBM"]})

    marks = unexpected(check.expectation, check.arguments, symbols)

    assert marks is not None
    assert marks.tolist() == [False, False, True, True, False, False]
