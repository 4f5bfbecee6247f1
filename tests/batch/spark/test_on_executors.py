"""What executors keep between tasks."""

import gc
from collections.abc import Iterator

import pytest

from truetape.batch.spark.on_executors import keep_loaded


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_is_loaded_is_exempt_from_collections_once() -> None:
    """What a later task makes is collected as before."""
    keep_loaded()
    kept = gc.get_freeze_count()
    later = [[]]
    later.append(later)  # only a collection frees it

    keep_loaded()
    del later

    assert kept > 0
    assert gc.get_freeze_count() == kept
    assert gc.collect() > 0
