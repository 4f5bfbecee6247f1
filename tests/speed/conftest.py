"""One log line a batch is too much for a model of thousands of batches."""

import pytest

from truetape.host import log


@pytest.fixture(autouse=True)
def _warnings_only() -> None:
    log.configure()
