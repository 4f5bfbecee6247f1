"""A console on an SQLite store, without Kafka, that admits every request."""

from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest
from fastapi.testclient import TestClient

from support.drifting import DAY, publish_and_record
from support.session_lake import lake_session
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.console.app import create
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore


@pytest.fixture
def here(environment: Mapping[str, str]) -> Settings:
    """Settings without a Kafka: pages must report that and show everything else."""
    return Settings.from_env({**environment, "TRUETAPE_KAFKA": "127.0.0.1:1"})


@pytest.fixture
def store(here: Settings) -> Iterator[BarStore]:
    with closing(open_store(here)) as store:
        yield store


@pytest.fixture
def client(here: Settings) -> TestClient:
    return TestClient(create(lambda: here, lambda: None))


@pytest.fixture
def drifted(here: Settings, store: BarStore) -> None:
    """Publish a day on which IBM had a late trade, a cancel and a correction."""
    lake_session(DAY).write(here.lake)
    serve(store, provisional_bars(counted_trades(DAY)))
    publish_and_record(here.lake, store)
