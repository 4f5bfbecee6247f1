"""Fixtures of the serving room: one real influxd for the run, and stores of both kinds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import influxd
from support.influxd import InfluxServer
from support.serving import own_buckets
from truetape.host.settings import Settings
from truetape.serving.buckets import Buckets
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.http import InfluxHttp
from truetape.serving.influx import InfluxStore
from truetape.serving.store import BarStore

OpenStore = Callable[[str], BarStore]


@pytest.fixture(scope="session")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """One influxd for the whole run; each test has its own bucket names."""
    cache = Settings.from_env().cache
    server = influxd.start(influxd.binary(cache), tmp_path_factory.mktemp("influxd"))
    yield server
    server.stop()


@pytest.fixture(params=["embedded", pytest.param("influx", marks=pytest.mark.real)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Open an empty store of either kind on a set of buckets ("live" or "history")."""
    opened: list[BarStore] = []

    def build(set_name: str) -> BarStore:
        store = _build(request, tmp_path / f"{len(opened)}.sqlite", own_buckets(set_name))
        store.ensure_buckets()
        opened.append(store)
        return store

    yield build
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> BarStore:
    """An empty store whose buckets never expire."""
    return open_store("history")


def _build(request: pytest.FixtureRequest, path: Path, buckets: Buckets) -> BarStore:
    if request.param == "embedded":
        return EmbeddedStore(path, buckets)
    running: InfluxServer = request.getfixturevalue("influx_server")
    server = InfluxHttp(running.url, influxd.ORG, running.token, timeout_s=10, attempts=4)
    return InfluxStore(server, buckets)
