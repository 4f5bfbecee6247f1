"""A console on an SQLite store, without Kafka, that admits every request; and one in a browser."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from support.console_app import may_start
from support.console_browser import BrowserLog, served_console
from support.drifting import DAY, publish_and_record
from support.session_lake import lake_session
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.console.app import create
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


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
    return TestClient(create(lambda: here, lambda: None, may_start))


@pytest.fixture
def drifted(here: Settings, store: BarStore) -> None:
    """Publish a day on which IBM had a late trade, a cancel and a correction."""
    lake_session(DAY).write(here.lake)
    serve(store, provisional_bars(counted_trades(DAY)))
    publish_and_record(here.lake, store)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the console under test. No Airflow, no Kafka."""
    return Settings.from_env(
        {
            "TRUETAPE_HOME": str(tmp_path_factory.mktemp("console")),
            "TRUETAPE_STORE": "embedded",
            "TRUETAPE_BUCKET_SET": "history",
            "TRUETAPE_KAFKA": "127.0.0.1:1",
        }
    )


@pytest.fixture(scope="module")
def console(home: Settings) -> Iterator[str]:
    """The address of a console that has a session published with drift, and a closed gate."""
    with served_console(home) as address:
        yield address


@pytest.fixture
def log() -> BrowserLog:
    return BrowserLog()


@pytest.fixture(params=["light", pytest.param("dark", marks=pytest.mark.long)])
def page(request: pytest.FixtureRequest, browser: "Browser", log: BrowserLog) -> "Iterator[Page]":
    context = browser.new_context(
        color_scheme=request.param, viewport={"width": 1_440, "height": 900}
    )
    page = context.new_page()
    page.on(
        "console",
        lambda line: log.messages.append(line.text) if line.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: log.messages.append(str(error)))
    page.on("dialog", lambda dialog: (log.messages.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: log.hosts.add(request.url.split("/")[2]))
    yield page
    context.close()
