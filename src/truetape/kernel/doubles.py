"""Doubles of decimal columns, rounded once to the nearest."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.columns import Array, Column

_DECIMALS = 8
"""A decimal with no more of these is divided as an integer by a power of ten."""
_EXACT = 2**53
"""Every integer up to this has a double of its own."""


def doubles(column: Column) -> Array:
    """Return the nearest double of each decimal128 of a column; 0.0 for null.

    An integer below 2^53 divided by a power of ten below 10^23 is rounded once, to the nearest
    double. Arrow's own cast rounds a decimal twice, so other decimals go by way of their text.
    """
    filled = pc.fill_null(column.combine_chunks(), pa.scalar(0, column.type))
    words = np.frombuffer(filled.buffers()[1], dtype=np.int64)
    place = slice(filled.offset, filled.offset + len(filled))
    low, high = words[::2][place], words[1::2][place]
    dropped = max(0, column.type.scale - _DECIMALS)
    about = (high * 2.0**64 + low.view(np.uint64)) / 10.0**dropped
    is_small = np.abs(about) <= _EXACT
    whole = np.rint(np.where(is_small, about, 0.0)).astype(np.int64)
    # the product is off by less than 2^64, so it is right if its lower half is
    is_exact = is_small & (whole * 10**dropped == low)
    values = whole / 10.0 ** (column.type.scale - dropped)
    if not is_exact.all():
        others = filled.filter(pa.array(~is_exact))
        values[~is_exact] = others.cast(pa.string()).cast(pa.float64()).to_numpy()
    result: Array = pa.array(values)
    return result
