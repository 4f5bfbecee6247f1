"""Settings, store and reader of tests that read served bars."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
import pytest

import truetape
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

Read = Callable[..., pd.DataFrame]


@pytest.fixture
def here(environment: Mapping[str, str]) -> Settings:
    return Settings.from_env(environment)


@pytest.fixture
def store(here: Settings) -> Iterator[BarStore]:
    store = open_store(here)
    yield store
    store.close()


@pytest.fixture
def read(here: Settings) -> Read:
    def call(*arguments: Any, **options: Any) -> pd.DataFrame:
        return truetape.read_bars(*arguments, **options, settings=here)

    return call
