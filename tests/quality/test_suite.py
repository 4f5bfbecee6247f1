"""Suites: what a file may declare, and the errors of an invalid file."""

from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.lake.delta import expected_types
from truetape.lake.tables import Table as LakeTable
from truetape.quality.frames import FRAMES, SuiteTable
from truetape.quality.session_tables import BAR_COLUMNS, TRADE_COLUMNS
from truetape.quality.suite import (
    EXPECTATIONS,
    Named,
    Severity,
    SuiteCheck,
    load_suite,
    read_suite,
    suite_names,
)

GOOD = """\
suite: mine
version: 3
table: trades
about: a suite of a test
rules:
  - id: T4
    severity: gate
    meaning: a price is above zero
    source: a paper
    frame: trades
    where: keyed
    checks:
      - ExpectColumnValuesToBeBetween: {column: [price, size], min_value: 0, strict_min: true}
      - ExpectColumnValuesToBeBetween: {column: ahead_ns, max_value: $future_slack_ns}
"""


def written(folder: Path, text: str) -> Path:
    """Write a suite file."""
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_rule_is_read_with_a_check_for_each_column(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, GOOD))

    assert (suite.id, suite.version, suite.table) == ("mine", 3, SuiteTable.TRADES)
    (rule,) = suite.rules
    assert (rule.id, rule.severity, rule.where) == ("T4", Severity.GATE, "keyed")
    between = "ExpectColumnValuesToBeBetween"
    assert rule.checks == (
        SuiteCheck(between, {"column": "price", "min_value": 0, "strict_min": True}),
        SuiteCheck(between, {"column": "size", "min_value": 0, "strict_min": True}),
        SuiteCheck(between, {"column": "ahead_ns", "max_value": Named("future_slack_ns")}),
    )
    assert rule.columns == ("price", "size", "ahead_ns")


def test_a_changed_rule_changes_the_digest(tmp_path: Path) -> None:
    before = read_suite(written(tmp_path, GOOD)).digest

    assert (
        read_suite(written(tmp_path, GOOD.replace("min_value: 0", "min_value: 1"))).digest != before
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ("suite: mine", "suite: other", 1, "it must be the file's own name"),
        ("version: 3", "version: 0", 2, "version is '0'"),
        ("table: trades", "table: quotes", 3, "write one of trades, bars"),
        ("id: T4", "id: t4", 6, "rules.0.id is 't4'; write a capital and a number"),
        ("severity: gate", "severity: stop", 7, "rules.0.severity is 'stop'; write one of gate"),
        ("    source: a paper\n", "", 6, "lacks 'source'"),
        ("frame: trades", "frame: trade", 10, "rules.0.frame is 'trade'; write one of columns"),
        ("where: keyed", "where: keys", 11, "rules.0.where is 'keys'; write one of symbol"),
        ("[price, size]", "[price, weight]", 13, "names 'weight'; the frame has symbol, event_ns"),
        ("column: ahead_ns, ", "", 14, "lacks the column that it reads"),
        ("min_value: 0", "least: 0", 13, "least is not known; known are column, min_value"),
        ("$future_slack_ns", "$slack", 14, "$session_start_ns, $session_end_ns, $future_slack_ns"),
        ("- ExpectColumnValuesToBeBetween: {column: a", "- ExpectMagic: {column: a", 14,
         "ExpectMagic is no expectation that rules may use"),
        ("version: 3", "version: 3\nowner: me", 3, "owner is not known"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, complaint: str
) -> None:
    path = written(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(ConfigError) as raised:
        read_suite(path)

    assert str(raised.value).startswith(f"{path}, line {line}: ")
    assert complaint in str(raised.value)


def test_a_repeated_rule_id_is_refused(tmp_path: Path) -> None:
    rule = GOOD.partition("rules:\n")[2]

    with pytest.raises(ConfigError, match=r"line 15: rules.1 has the id 'T4' of a rule before it"):
        read_suite(written(tmp_path, GOOD + rule))


def test_a_rule_without_checks_is_refused(tmp_path: Path) -> None:
    empty = GOOD.partition("    checks:\n")[0] + "    checks: []\n"

    with pytest.raises(ConfigError, match="a rule that checks nothing always passes"):
        read_suite(written(tmp_path, empty))


def test_an_unknown_suite_is_refused_with_the_known_suites() -> None:
    with pytest.raises(ConfigError, match="known are bars, feed, reconciliation, served, trades"):
        load_suite("quotes")


def test_every_table_has_a_suite_of_its_name() -> None:
    assert suite_names() == sorted(SuiteTable)
    assert [load_suite(name).table for name in suite_names()] == suite_names()


@pytest.mark.parametrize("table", ["trades", "bars"])
def test_a_suite_lists_every_column_of_its_lake_table(table: str) -> None:
    """Who adds a column to the lake adds it to its suite, and raises the suite's version."""
    fields = expected_types(LakeTable(table))
    arguments = load_suite(table).rules[0].checks[0].arguments
    if table == "trades":
        assert set(arguments["column_set"]) == set(fields)  # type: ignore[arg-type]
    else:
        declared = {f"{name} {kind}" for name, kind in fields.items()}
        assert set(arguments["value_set"]) == declared  # type: ignore[arg-type]
    needed = TRADE_COLUMNS if table == "trades" else BAR_COLUMNS
    assert set(needed) <= set(fields)


def test_great_expectations_has_every_expectation_and_argument() -> None:
    """By name and argument, as the installed version has them."""
    from great_expectations import expectations

    for name, arguments in EXPECTATIONS.items():
        assert set(arguments) <= set(getattr(expectations, name).__fields__), name


def test_every_frame_is_used_by_a_rule() -> None:
    """Each frame is read by a rule."""
    for name in suite_names():
        suite = load_suite(name)
        assert {rule.frame for rule in suite.rules} == set(FRAMES[suite.table])
