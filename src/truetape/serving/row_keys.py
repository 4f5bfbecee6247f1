"""Rows of two tables matched by their key: symbol, venue and start. Reads no store."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEY = ("symbol", "venue", "start_ns")
Column = Any
"""An Arrow array."""


def matches(left: pa.Table, right: pa.Table) -> Column:
    """Return for each row of `left` the place of the row of `right` with its key, null without it.

    Of several rows of `right` with one key, it is the last one.
    """
    keyed = left.select(KEY).append_column("left", pa.array(np.arange(len(left))))
    others = right.select(KEY).append_column("right", pa.array(np.arange(len(right))))
    last = others.group_by(list(KEY)).aggregate([("right", "max")])
    joined = keyed.join(last, list(KEY), join_type="left outer").sort_by("left")
    return joined.column("right_max").combine_chunks()


def same_rows(left: pa.Table, right: pa.Table, but: tuple[str, ...] = ()) -> Column:
    """Return for each pair of rows whether they are equal in every column, but some.

    Two absent values are equal; an absent row (all null) equals nothing.
    """
    equal = pc.is_valid(right.column(KEY[0])).combine_chunks()
    for name in left.column_names:
        if name not in but:
            one, other = (table.column(name).combine_chunks() for table in (left, right))
            both_null = pc.and_(pc.is_null(one), pc.is_null(other))
            same = pc.fill_null(pc.equal(one, other), False)
            equal = pc.and_(equal, pc.or_(same, both_null))
    return equal
