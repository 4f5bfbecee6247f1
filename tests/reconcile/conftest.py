"""What publications are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.serving import own_buckets
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.influx import InfluxStore
from truetape.serving.store import BarStore


@pytest.fixture(params=["embedded", pytest.param("influx", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BarStore]:
    """An empty store of either kind, in buckets of its own."""
    opened: BarStore
    if request.param == "embedded":
        opened = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    else:
        opened = InfluxStore.from_settings(request.getfixturevalue("stack"), own_buckets("history"))
    opened.ensure_buckets()
    yield opened
    opened.close()
