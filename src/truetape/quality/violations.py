"""Violations: the rows that break a check, found on whole columns.

Great Expectations reads a million rows in seconds for each check. So a long frame is counted here,
and Great Expectations judges the rows that were found, and others beside them. Pure.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from truetape.kernel.events import places_of
from truetape.quality.columns import Column, packed

Rows = NDArray[np.bool_]
Arguments = Mapping[str, Any]


def prepared(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return columns as Great Expectations gets them; what is not a number counts as missing."""
    return pa.table({name: _without_nan(table[name]) for name in names})


def unexpected(expectation: str, arguments: Arguments, table: pa.Table) -> Rows | None:
    """Mark the rows of a `prepared` table that an expectation calls unexpected; None if it is about
    the whole table, or if its values do not fit the column.

    As in Great Expectations, a row with a missing value breaks no check, except that values are
    there.
    """
    count = _COUNTS.get(expectation)
    if count is None:
        return None
    try:
        return count(arguments, table)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def _not_null(arguments: Arguments, table: pa.Table) -> Rows:
    return _marked(pc.is_null(table[arguments["column"]]))


def _between(arguments: Arguments, table: pa.Table) -> Rows:
    column = table[arguments["column"]]
    least, most = arguments.get("min_value"), arguments.get("max_value")
    marks = np.zeros(table.num_rows, dtype=bool)
    if least is not None:
        below = pc.less_equal if arguments.get("strict_min") else pc.less
        marks |= _marked(below(column, least))
    if most is not None:
        above = pc.greater_equal if arguments.get("strict_max") else pc.greater
        marks |= _marked(above(column, most))
    return marks


def _in_set(arguments: Arguments, table: pa.Table) -> Rows:
    return _marked(table[arguments["column"]].is_valid()) & ~_not_in_set(arguments, table)


def _not_in_set(arguments: Arguments, table: pa.Table) -> Rows:
    column = table[arguments["column"]]
    return _marked(pc.is_in(column, pa.array(list(arguments["value_set"]), column.type)))


def _matching(arguments: Arguments, table: pa.Table) -> Rows:
    """Search by Python's expressions, as Great Expectations does: Arrow's know no lookahead."""
    encoded = table[arguments["column"]].combine_chunks().dictionary_encode()
    if not pa.types.is_string(encoded.dictionary.type):
        raise pa.ArrowTypeError(f"{arguments['column']} is no text")
    pattern = re.compile(arguments["regex"])
    broken = [pattern.search(text) is None for text in encoded.dictionary.to_pylist()]
    marks = pa.array(broken, pa.bool_()).take(encoded.indices)
    return _marked(pa.chunked_array([marks]))


def _equal(arguments: Arguments, table: pa.Table) -> Rows:
    return _marked(pc.not_equal(*_pair(arguments, table)))


def _greater(arguments: Arguments, table: pa.Table) -> Rows:
    broken = pc.less if arguments.get("or_equal") else pc.less_equal
    return _marked(broken(*_pair(arguments, table)))


def _unique(arguments: Arguments, table: pa.Table) -> Rows:
    names = list(arguments["column_list"])
    valid = _marked(reduce(pc.and_, (table[name].is_valid() for name in names)))
    keys = packed(table, names)
    ordered = np.sort(keys[valid])
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    return valid & np.isin(keys, repeated) if len(repeated) else np.zeros_like(valid)


def groups_of(names: Sequence[str], table: pa.Table, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all rows whose values equal those of one of these rows."""
    wanted = table.select(list(names)).take(pa.array(rows)).group_by(list(names)).aggregate([])
    return places_of(table, wanted).to_numpy()


def _pair(arguments: Arguments, table: pa.Table) -> tuple[Column, Column]:
    return table[arguments["column_A"]], table[arguments["column_B"]]


def _without_nan(column: Column) -> Column:
    if pa.types.is_floating(column.type):
        missing: Column = pc.if_else(pc.is_nan(column), None, column)
        return missing
    return column


def _marked(column: Column) -> Rows:
    return np.asarray(pc.fill_null(column, False), dtype=bool)


_COUNTS: Mapping[str, Callable[[Arguments, pa.Table], Rows]] = {
    "ExpectColumnPairValuesAToBeGreaterThanB": _greater,
    "ExpectColumnPairValuesToBeEqual": _equal,
    "ExpectColumnValuesToBeBetween": _between,
    "ExpectColumnValuesToBeInSet": _in_set,
    "ExpectColumnValuesToMatchRegex": _matching,
    "ExpectColumnValuesToNotBeInSet": _not_in_set,
    "ExpectColumnValuesToNotBeNull": _not_null,
    "ExpectCompoundColumnsToBeUnique": _unique,
}
"""Expectations about single rows, or about rows beside others of the same frame."""
