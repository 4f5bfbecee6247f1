"""Divides a session's deliveries by symbol: no bar depends on a trade of another symbol."""

import zlib
from itertools import pairwise

import numpy as np
import pyarrow as pa


def by_symbol(table: pa.Table, count: int) -> list[pa.Table]:
    """Divide rows into `count` tables, all rows of a symbol into the same one on any machine."""
    encoded = table["symbol"].combine_chunks().dictionary_encode()
    symbols = encoded.dictionary.to_pylist()
    places = np.array([zlib.crc32(str(symbol).encode()) % count for symbol in symbols], np.int64)
    numbers = places[encoded.indices.to_numpy()] if symbols else places
    divided = table.take(pa.array(np.argsort(numbers, kind="stable")))
    starts = np.cumsum([0, *np.bincount(numbers, minlength=count)]).tolist()
    return [divided.slice(start, end - start) for start, end in pairwise(starts)]
