"""The race model runs thousands of batches: one log line a batch is too much."""

import pytest

from truetape.host import log


@pytest.fixture(autouse=True)
def _warnings_only() -> None:
    log.configure()
