"""Ranks: numbers in the order of texts, to sort many rows by. Knows no column."""

import numpy as np
from numpy.typing import NDArray

from truetape.kernel.columns import Column


def ranks(column: Column) -> NDArray[np.int64]:
    """Return a number for each text, in the order of the texts; no text may be null."""
    encoded = column.combine_chunks().dictionary_encode()
    texts: list[str] = encoded.dictionary.to_pylist()  # type: ignore[assignment]  # never null
    places = np.empty(len(texts), dtype=np.int64)
    places[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    ordered: NDArray[np.int64] = places[encoded.indices.to_numpy()]
    return ordered
