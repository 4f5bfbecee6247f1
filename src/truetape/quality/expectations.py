"""Runs rules on frames by Great Expectations; this room's only use of it, and of its 15 s import.

An ephemeral context: nothing is stored, sent or rendered. Counts and a few row numbers come back.
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
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from truetape.quality.frames import FRAMES, Frame
from truetape.quality.results import RuleResult
from truetape.quality.suite import Argument, Named, Suite, SuiteCheck, SuiteRule

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition

MAX_EXAMPLES = 5
"""Rows that a result names; the others are only counted."""
MAX_SHOWN = 12
"""Columns of a row that are told; of a wider frame the keys, and those that the rule reads."""
MAX_TEXT = 200
"""Characters of a value in a report."""
MAX_CHUNK_ROWS = 300_000
"""Rows given to Great Expectations at once, unless one symbol has more: it goes as a whole, so that
what must be unique within a symbol is seen together.
"""
_INT64_DIGITS = 18


def validate(suite: Suite, frames: Iterable[Frame], values: Mapping[str, int]) -> list[RuleResult]:
    """Check every rule of a suite, in its order; `values` are those of the `$names`.

    Frames are taken one after the other, so that a generator holds one in memory at a time. A rule
    whose frame never comes, or that cannot be evaluated, has not passed.
    """
    results: dict[str, RuleResult] = {}
    for frame in frames:
        rules = [rule for rule in suite.rules if rule.frame == frame.name]
        for where in dict.fromkeys(rule.where for rule in rules):
            table = frame.table if where is None else frame.table.filter(frame.table[where])
            some = [_Tally(rule, table) for rule in rules if rule.where == where]
            _count(some, table, values)
            results |= {tally.rule.id: tally.result(suite) for tally in some}
    return [results.get(rule.id) or _never_checked(suite, rule) for rule in suite.rules]


def load() -> None:
    """Import Great Expectations now rather than at the first `validate`: 15 s, once a process."""
    _batches()


@dataclass(slots=True)
class _Tally:
    """What the checks of one rule found in the chunks of a frame so far."""

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
        found = outcome.result
        self.errors += _errors(outcome.exception_info)
        self.passed &= bool(outcome.success)  # a numpy.bool from some expectations
        self.rows[number] = self.rows.get(number, 0) + int(found.get("element_count", 0))
        if outcome.success:
            return
        if "element_count" not in found:
            self.observed.append(_observed(found))
            return
        self.unexpected += int(found["unexpected_count"])
        self.examples += [int(row) for row in found["partial_unexpected_index_list"]]

    def result(self, suite: Suite) -> RuleResult:
        """Return the result of the rule over all chunks."""
        shape = FRAMES[suite.table][self.rule.frame]
        some = dict.fromkeys((*shape.keys, *self.rule.columns))
        shown = list(shape.columns if len(shape.columns) <= MAX_SHOWN else some)
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


def _count(tallies: Sequence[_Tally], table: pa.Table, values: Mapping[str, int]) -> None:
    """Give a table to Great Expectations in chunks and add what it says to the rules' tallies."""
    columns = list(dict.fromkeys(name for tally in tallies for name in tally.rule.columns))
    checks = [check for tally in tallies for check in tally.rule.checks]
    whole = any("column_set" in check.arguments for check in checks)
    compared = {name for check in checks if "column_A" in check.arguments for name in check.columns}
    for start, end in _chunks(table):
        rows = _pandas(table if whole else table.select(columns), start, end, compared)
        missing = {(at, n) for at, one in enumerate(tallies) for n in range(len(one.rule.checks))}
        for place, outcome in _outcomes([tally.rule for tally in tallies], rows, values):
            tallies[place[0]].add(place[1], outcome)
            missing.discard(place)
        for at, number in missing:  # what was not looked at has not passed
            tallies[at].errors.append(f"no outcome of check {number + 1}")


def _outcomes(
    rules: Sequence[SuiteRule], rows: pd.DataFrame, values: Mapping[str, int]
) -> Iterator[tuple[tuple[int, int], Any]]:
    """Yield the outcome of each check with its place: number of the rule, number of the check."""
    from great_expectations.core import ExpectationSuite

    places = [
        ((number, place), check)
        for number, rule in enumerate(rules)
        for place, check in enumerate(rule.checks)
    ]
    wanted = ExpectationSuite(
        name="rules", expectations=[_expectation(check, at, values) for at, check in places]
    )
    batch = _batches().get_batch(batch_parameters={"dataframe": rows})
    # SUMMARY: a few row numbers; COMPLETE would keep every unexpected value
    shape = {"result_format": "SUMMARY", "partial_unexpected_count": MAX_EXAMPLES}
    for outcome in batch.validate(wanted, result_format=shape).results:
        rule, check = outcome.expectation_config.meta["place"]
        yield (rule, check), outcome


def _expectation(check: SuiteCheck, place: tuple[int, int], values: Mapping[str, int]) -> Any:
    from great_expectations import expectations

    arguments = {name: _argument(value, values) for name, value in check.arguments.items()}
    if "column_A" in arguments:
        arguments["ignore_row_if"] = "either_value_is_missing"
    elif "column_list" in arguments:
        arguments["ignore_row_if"] = "any_value_is_missing"
    return getattr(expectations, check.expectation)(**arguments, meta={"place": place})


def _argument(value: Argument, values: Mapping[str, int]) -> object:
    if isinstance(value, Named):
        return values[value.name]
    return list(value) if isinstance(value, tuple) else value


@cache
def _batches() -> "BatchDefinition[Any]":
    """Import Great Expectations, about 15 s and 300 MB, and open a context in memory."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read while it is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _without_spark_connect():
            import great_expectations

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("rows")


@contextmanager
def _without_spark_connect() -> Iterator[None]:
    """Have an import of Spark Connect fail; nothing here needs it.

    Where a package of its own is missing, it ends a program that has no file, such as `python -c`,
    in the middle of the import and with success: a gate that nobody asked would look open.
    """
    name = "pyspark.sql.connect"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _chunks(table: pa.Table) -> Iterator[tuple[int, int]]:
    """Yield the row ranges of whole symbols of at most `MAX_CHUNK_ROWS` rows, at least one range.

    Rows must be ordered by symbol where a frame is longer than that.
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
    """Return some rows as pandas holds them best, indexed by their number in the table.

    Texts become categories, a Python string for each different one and not for each row; but pandas
    does not compare the categories of two columns.
    """
    some = table.slice(start, end - start)
    columns = {
        name: _plain(some[name])
        if name in compared or not pa.types.is_string(some[name].type)
        else some[name].dictionary_encode()
        for name in some.column_names
    }
    rows: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=_nullable(columns))
    rows.index = pd.RangeIndex(start, end)
    return rows


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if not pa.types.is_decimal(kind):
        return column
    if kind.precision > _INT64_DIGITS:
        return pc.cast(column, pa.float64())
    unit = pa.scalar(Decimal(10) ** kind.scale, pa.decimal128(kind.scale + 1, 0))
    return pc.cast(pc.multiply(column, unit), pa.int64())


def _nullable(columns: Mapping[str, pa.ChunkedArray]) -> Any:
    """Whole numbers with nulls need a type that has them: a double would round nanoseconds."""
    lacking = {column.type for column in columns.values() if column.null_count}
    types = {
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    return {kind: dtype for kind, dtype in types.items() if kind in lacking}.get


def _errors(info: Mapping[str, Any]) -> list[str]:
    """Return the messages of what was raised: one entry, or one for each metric that failed."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [str(one["exception_message"]) for one in entries if one["raised_exception"]]


def _observed(found: Mapping[str, Any]) -> str:
    """Say what an expectation about a whole table saw."""
    mismatched = found.get("details", {}).get("mismatched", {})
    parts = {
        "unexpected": mismatched.get("unexpected") or found.get("partial_unexpected_list"),
        "missing": mismatched.get("missing") or found.get("partial_missing_list"),
        "observed": found.get("observed_value") if not mismatched else None,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _texts(row: Mapping[str, object]) -> dict[str, str]:
    return {name: "" if value is None else _text(value) for name, value in row.items()}


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    text = str(value).lower() if isinstance(value, bool) else str(value)[:MAX_TEXT]
    return text if text.isprintable() else repr(text)  # reports are read on terminals


def _never_checked(suite: Suite, rule: SuiteRule) -> RuleResult:
    return RuleResult(
        suite.id,
        rule.id,
        rule.severity,
        rule.meaning,
        rule.frame,
        passed=False,
        error=f"there is no frame {rule.frame!r} to check",
    )
