"""Runs rules on frames with Great Expectations. Only this module imports it.

The context is ephemeral: nothing is stored, sent or rendered. Results are counts and row numbers.
"""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from truetape.quality.columns import Column, table_of
from truetape.quality.frames import FRAMES, Frame
from truetape.quality.results import RuleResult
from truetape.quality.suite import Argument, Named, Suite, SuiteCheck, SuiteRule
from truetape.quality.violations import Rows, groups_of, prepared, unexpected

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition

MAX_EXAMPLES = 5
"""A result shows this many rows; the others are only counted."""
MAX_SHOWN = 12
"""A shown row has this many columns at most. Of a wider frame: the keys and the rule's columns."""
MAX_TEXT = 200
"""Maximum length of a value in a report, in characters."""
MAX_CHUNK_ROWS = 300_000
"""Great Expectations gets this many rows at once, or one symbol if it has more. A symbol is never
split, so that rules about uniqueness within a symbol see all its rows.
"""

MAX_WHOLE_ROWS = 20_000
"""A frame with more rows is counted here; Great Expectations judges a part of it."""
SHOWN_ROWS = 200
"""Of each check of a long frame, Great Expectations gets so many of the rows that break it; and
so many rows of the whole frame, at equal distances.
"""

_OPTIONAL = ("pyspark", "sqlalchemy")
"""Great Expectations imports these if it can, half a second each. Without a package of its own,
Spark Connect even ends the process, with exit code 0: a gate that never ran would look open.
"""
_UNUSED = ("altair", "scipy.stats")
"""Great Expectations imports these for expectations that no suite may use: a second and 100 MB."""


def validate(suite: Suite, frames: Iterable[Frame], values: Mapping[str, int]) -> list[RuleResult]:
    """Check every rule of a suite, in the suite's order. `values` are those of the `$names`.

    Frames are read one after the other, so that a generator keeps only one in memory. A rule fails
    if its frame is missing or if it cannot be evaluated.
    """
    results: dict[str, RuleResult] = {}
    for frame in frames:
        rules = [rule for rule in suite.rules if rule.frame == frame.name]
        for where in dict.fromkeys(rule.where for rule in rules):
            own = [rule for rule in rules if rule.where == where]
            table = frame.table if where is None else _where(suite, frame, own, where)
            tallies = [_RuleTally(rule, table) for rule in own]
            whole = tallies
            if table.num_rows > MAX_WHOLE_ROWS:
                whole = _count_rows(tallies, table, values)
            if whole:
                _count(whole, table, values)
            results |= {tally.rule.id: tally.result(suite) for tally in tallies}
    return [results.get(rule.id) or _unchecked(suite, rule) for rule in suite.rules]


def load() -> None:
    """Import Great Expectations before the first `validate`, once a process."""
    _batches()


@dataclass(slots=True)
class _RuleTally:
    """The outcomes of one rule's checks, added up over the chunks of a frame."""

    rule: SuiteRule
    table: pa.Table
    rows: dict[int, int] = field(default_factory=dict)
    unexpected: int = 0
    passed: bool = True
    observed: list[str] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, number: int, outcome: Any) -> None:
        """Count the outcome of check `number` on one chunk."""
        result = outcome.result
        self.errors += _errors(outcome.exception_info)
        self.passed &= bool(outcome.success)  # a numpy.bool from some expectations
        self.rows[number] = self.rows.get(number, 0) + int(result.get("element_count", 0))
        if outcome.success:
            return
        if "element_count" not in result:
            self.observed.append(_observed(result))
            return
        self.unexpected += int(result["unexpected_count"])
        self.examples += [int(row) for row in result["partial_unexpected_index_list"]]

    def result(self, suite: Suite) -> RuleResult:
        """Return the result of the rule over all chunks."""
        shown = _shown(suite, self.rule)
        numbers = pa.array(sorted(set(self.examples))[:MAX_EXAMPLES], pa.int64())
        examples = self.table.take(numbers).select(shown).to_pylist()
        return RuleResult(
            suite=suite.id,
            rule=self.rule.id,
            severity=self.rule.severity,
            meaning=self.rule.meaning,
            frame=self.rule.frame,
            passed=self.passed and not self.errors,
            rows=max(self.rows.values(), default=0),
            unexpected=self.unexpected,
            observed="; ".join(dict.fromkeys(self.observed)),
            examples=tuple(_texts(row) for row in examples),
            error="; ".join(dict.fromkeys(self.errors)),
        )


def _shown(suite: Suite, rule: SuiteRule) -> list[str]:
    """Return the columns of the examples of a rule."""
    frame = FRAMES[suite.table][rule.frame]
    essential = dict.fromkeys((*frame.keys, *rule.columns))
    return list(frame.columns if len(frame.columns) <= MAX_SHOWN else essential)


def _where(suite: Suite, frame: Frame, rules: Sequence[SuiteRule], where: str) -> pa.Table:
    """Return the rows that rules are about, with the columns that they check or show."""
    names = dict.fromkeys(name for rule in rules for name in (*rule.columns, *_shown(suite, rule)))
    return frame.table.select(list(names)).filter(frame.table[where])


def _count_rows(
    tallies: Sequence[_RuleTally], table: pa.Table, values: Mapping[str, int]
) -> list[_RuleTally]:
    """Count the unexpected rows of a long table, and have Great Expectations judge some of them.

    Return the tallies with a check that cannot be counted; nothing was added to these.
    """
    counted: list[tuple[_RuleTally, list[Rows]]] = []
    left = []
    ready = prepared(table, _columns(tallies))
    for tally in tallies:
        found = [_unexpected(check, ready, values) for check in tally.rule.checks]
        marks = [one for one in found if one is not None]
        if len(marks) == len(found):
            counted.append((tally, marks))
        else:
            left.append(tally)
    if counted:
        rows = _rows_to_judge(counted, ready)
        _judge(counted, table, ready.take(pa.array(rows)), rows, values)
    return left


def _unexpected(check: SuiteCheck, table: pa.Table, values: Mapping[str, int]) -> Rows | None:
    return unexpected(check.expectation, _arguments(check, values), table)


def _rows_to_judge(
    counted: Sequence[tuple[_RuleTally, list[Rows]]], table: pa.Table
) -> NDArray[np.int64]:
    """Return the numbers of the first rows that break each check, and of some others."""
    count = min(SHOWN_ROWS, table.num_rows)
    parts = [np.linspace(0, table.num_rows - 1, count).astype(np.int64)]
    for tally, marks in counted:
        for check, mark in zip(tally.rule.checks, marks, strict=True):
            first = np.flatnonzero(mark)[:SHOWN_ROWS]
            parts.append(first)
            if len(first) and "column_list" in check.arguments:
                parts.append(groups_of(check.columns, table, first[:MAX_EXAMPLES])[:SHOWN_ROWS])
    return np.unique(np.concatenate(parts))


def _judge(
    counted: Sequence[tuple[_RuleTally, list[Rows]]],
    table: pa.Table,
    ready: pa.Table,
    numbers: NDArray[np.int64],
    values: Mapping[str, int],
) -> None:
    """Add the counts to the tallies. A rule fails if Great Expectations judges a row otherwise.

    `ready`: the rows of these numbers, prepared for counting.
    """
    tallies = [tally for tally, _ in counted]
    part = table.select(_columns(tallies)).take(pa.array(numbers))
    rows = _pandas(part, 0, part.num_rows, _compared(tallies))
    rows.index = pd.Index(numbers)
    outcomes = dict(_outcomes([tally.rule for tally in tallies], rows, values))
    for place, (tally, marks) in enumerate(counted):
        for number, (check, mark) in enumerate(zip(tally.rule.checks, marks, strict=True)):
            outcome = outcomes.get((place, number))
            if outcome is None:  # an unchecked rule must not pass
                tally.errors.append(f"no outcome of check {number + 1}")
                continue
            tally.errors += _errors(outcome.exception_info)
            again = _unexpected(check, ready, values)
            judged = int(outcome.result.get("unexpected_count", -1))
            found = -1 if again is None else int(again.sum())
            if judged != found and not tally.errors:
                tally.errors.append(
                    f"of {len(numbers):,} rows check {number + 1} is broken by {found}, and by "
                    f"{judged} as Great Expectations judges"
                )
            tally.rows[number] = table.num_rows
            tally.unexpected += int(mark.sum())
            tally.passed &= not mark.any()
            tally.examples += np.flatnonzero(mark)[:MAX_EXAMPLES].tolist()


def _count(tallies: Sequence[_RuleTally], table: pa.Table, values: Mapping[str, int]) -> None:
    """Check a table in chunks and add the outcomes to the rules' tallies."""
    columns, compared = _columns(tallies), _compared(tallies)
    needs_all = any(
        "column_set" in check.arguments for tally in tallies for check in tally.rule.checks
    )
    for start, end in _chunks(table):
        rows = _pandas(table if needs_all else table.select(columns), start, end, compared)
        missing = {
            (place, number)
            for place, tally in enumerate(tallies)
            for number in range(len(tally.rule.checks))
        }
        for check_id, outcome in _outcomes([tally.rule for tally in tallies], rows, values):
            tallies[check_id[0]].add(check_id[1], outcome)
            missing.discard(check_id)
        for place, number in missing:  # an unchecked rule must not pass
            tallies[place].errors.append(f"no outcome of check {number + 1}")


def _columns(tallies: Sequence[_RuleTally]) -> list[str]:
    """Return the columns that the rules read, each once."""
    return list(dict.fromkeys(name for tally in tallies for name in tally.rule.columns))


def _compared(tallies: Sequence[_RuleTally]) -> set[str]:
    """Return the columns that are compared with each other."""
    checks = (check for tally in tallies for check in tally.rule.checks)
    return {name for check in checks if "column_A" in check.arguments for name in check.columns}


def _outcomes(
    rules: Sequence[SuiteRule], rows: pd.DataFrame, values: Mapping[str, int]
) -> Iterator[tuple[tuple[int, int], Any]]:
    """Yield the outcome of each check with its number: (rule, check)."""
    from great_expectations.core import ExpectationSuite

    places = [
        ((number, place), check)
        for number, rule in enumerate(rules)
        for place, check in enumerate(rule.checks)
    ]
    suite = ExpectationSuite(
        name="rules", expectations=[_expectation(check, at, values) for at, check in places]
    )
    batch = _batches().get_batch(batch_parameters={"dataframe": rows})
    # SUMMARY returns a few row numbers; COMPLETE would return every unexpected value
    shape = {"result_format": "SUMMARY", "partial_unexpected_count": MAX_EXAMPLES}
    with _configured_once():
        outcomes = batch.validate(suite, result_format=shape).results
    for outcome in outcomes:
        rule, check = outcome.expectation_config.meta["place"]
        yield (rule, check), outcome


def _expectation(check: SuiteCheck, place: tuple[int, int], values: Mapping[str, int]) -> Any:
    from great_expectations import expectations

    arguments = _arguments(check, values)
    if "column_A" in arguments:
        arguments["ignore_row_if"] = "either_value_is_missing"
    elif "column_list" in arguments:
        arguments["ignore_row_if"] = "any_value_is_missing"
    return getattr(expectations, check.expectation)(**arguments, meta={"place": place})


def _arguments(check: SuiteCheck, values: Mapping[str, int]) -> dict[str, object]:
    return {name: _argument(value, values) for name, value in check.arguments.items()}


def _argument(value: Argument, values: Mapping[str, int]) -> object:
    if isinstance(value, Named):
        return values[value.name]
    return list(value) if isinstance(value, tuple) else value


@cache
def _batches() -> "BatchDefinition[Any]":
    """Import Great Expectations (1.5 s and 50 MB) and open a context in memory."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read while it is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _without_the_unneeded():
            import great_expectations

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("rows")


@contextmanager
def _configured_once() -> Iterator[None]:
    """Let each expectation build its configuration once: Great Expectations asks an expectation
    for it 70 times a check, and builds it anew each time.
    """
    from great_expectations.expectations.expectation import Expectation

    build = Expectation.configuration
    built: dict[int, tuple[Expectation, Any]] = {}

    def configuration(expectation: Expectation) -> Any:
        if id(expectation) not in built:  # the entry keeps the expectation, and so its id
            built[id(expectation)] = expectation, build.fget(expectation)
        return built[id(expectation)][1]

    Expectation.configuration = property(configuration)
    try:
        yield
    finally:
        Expectation.configuration = build


@contextmanager
def _without_the_unneeded() -> Iterator[None]:
    """Make imports of `_OPTIONAL` packages fail and those of `_UNUSED` ones return an empty module.

    Packages that are imported already stay. Afterwards everything can be imported again.
    """
    modules: dict[str, ModuleType | None] = dict.fromkeys(_OPTIONAL)
    modules |= {name: _Unused(name) for name in _UNUSED}
    absent = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class _Unused(ModuleType):
    """A module whose every public attribute is `object`, for annotations that name its classes."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def _chunks(table: pa.Table) -> Iterator[tuple[int, int]]:
    """Yield row ranges of whole symbols, `MAX_CHUNK_ROWS` rows at most; at least one range.

    Rows of a longer frame must be ordered by symbol.
    """
    rows = table.num_rows
    if rows <= MAX_CHUNK_ROWS or "symbol" not in table.column_names:
        yield 0, rows
        return
    codes = table["symbol"].combine_chunks().dictionary_encode(null_encoding="encode").indices
    ends = [*(np.flatnonzero(np.diff(codes.to_numpy())) + 1), rows]
    start = 0
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is None or following - start > MAX_CHUNK_ROWS:
            yield start, int(end)
            start = int(end)


def _pandas(table: pa.Table, start: int, end: int, compared: AbstractSet[str]) -> pd.DataFrame:
    """Return a range of rows in pandas, indexed by their number in the table.

    Texts become categories: one Python string for each distinct text instead of each row. Columns
    that are compared with each other stay texts, because pandas does not compare categories.
    Decimals become Python's.
    """
    rows_of_range = table.slice(start, end - start)
    columns = {
        name: rows_of_range[name]
        if name in compared or not pa.types.is_string(rows_of_range[name].type)
        else rows_of_range[name].dictionary_encode()
        for name in rows_of_range.column_names
    }
    rows: pd.DataFrame = table_of(columns).to_pandas(types_mapper=_nullable(columns))
    rows.index = pd.RangeIndex(start, end)
    return rows


def _nullable(columns: Mapping[str, Column]) -> Any:
    """Whole numbers with nulls need a nullable type, because a double would round nanoseconds."""
    with_nulls = {column.type for column in columns.values() if column.null_count}
    types = {
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    return {kind: dtype for kind, dtype in types.items() if kind in with_nulls}.get


def _errors(info: Mapping[str, Any]) -> list[str]:
    """Return the messages of raised errors: one entry, or one for each failed metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [str(entry["exception_message"]) for entry in entries if entry["raised_exception"]]


def _observed(result: Mapping[str, Any]) -> str:
    """Return what an expectation about a whole table observed."""
    mismatched = result.get("details", {}).get("mismatched", {})
    parts = {
        "unexpected": mismatched.get("unexpected") or result.get("partial_unexpected_list"),
        "missing": mismatched.get("missing") or result.get("partial_missing_list"),
        "observed": result.get("observed_value") if not mismatched else None,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _texts(row: Mapping[str, object]) -> dict[str, str]:
    return {name: "" if value is None else _text(value) for name, value in row.items()}


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    text = str(value).lower() if isinstance(value, bool) else str(value)[:MAX_TEXT]
    return text if text.isprintable() else repr(text)  # reports are read in terminals


def _unchecked(suite: Suite, rule: SuiteRule) -> RuleResult:
    return RuleResult(
        suite.id,
        rule.id,
        rule.severity,
        rule.meaning,
        rule.frame,
        passed=False,
        error=f"there is no frame {rule.frame!r} to check",
    )
