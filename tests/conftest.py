"""Fixtures that the whole run shares: one Spark session, one Kafka, one InfluxDB."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from truetape.broker import clients
from truetape.host import log
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from pyspark.sql import SparkSession

    from truetape.serving.store import BarStore

# a collection makes millions of objects that stay; the search for garbage among them, again and
# again, would take a third of its time
gc.disable()

# before anything imports Airflow, which would else make itself a home in that of the user
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="truetape-airflow-"))
os.environ["AIRFLOW_HOME"] = str(AIRFLOW_HOME)
_ROOT = Path(__file__).resolve().parents[1]
(AIRFLOW_HOME / "airflow.cfg").write_text(
    f"[core]\ndags_folder = {_ROOT}/dags\nplugins_folder = {_ROOT}/plugins\nload_examples = False\n"
)

# tests assert what is computed; how long it takes is the machine's
settings.register_profile(
    "untimed", deadline=None, max_examples=int(os.environ.get("TRUETAPE_EXAMPLES", "50"))
)
settings.load_profile("untimed")

if "PYTEST_XDIST_WORKER" in os.environ:
    # a worker's main module has no file, which PySpark takes for a doctest of its own and exits
    sys.modules["__main__"].__file__ = __file__


def pytest_collection_finish() -> None:
    """Look for garbage again, but no more among what was collected."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Remove Airflow's home. Leave nothing out of the search for garbage at the end."""
    gc.unfreeze()
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """A verb makes the files of its process private; the next test begins with the old umask."""
    from truetape.host import private_home

    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
    private_home._UMASK.given = None


@pytest.fixture(autouse=True)
def _log_on_stderr() -> None:
    """Each test begins with truetape's log: whoever imports Airflow gets a log on stdout."""
    log.configure(file=sys.__stderr__)


@pytest.fixture(params=["embedded", pytest.param("influx", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[BarStore]":
    """An empty store of either kind, in buckets of its own."""
    from support.serving import own_buckets
    from truetape.serving.embedded import EmbeddedStore
    from truetape.serving.influx import InfluxStore

    opened: BarStore
    if request.param == "embedded":
        opened = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    else:
        opened = InfluxStore.from_settings(request.getfixturevalue("stack"), own_buckets("history"))
    opened.ensure_buckets()
    yield opened
    opened.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process tries for half a second, and not for ten, to reach a Kafka that is away."""
    monkeypatch.setattr(clients, "CONNECT_WITHIN_MS", 500)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a machine of its own: an empty home, the shared cache."""
    (tmp_path / "home").mkdir(mode=0o700)
    return Settings.from_env({"TRUETAPE_HOME": str(tmp_path / "home")})


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a verb reads its settings from: an empty home, one SQLite file for bars of any age."""
    return {
        "TRUETAPE_HOME": str(tmp_path / "home"),
        "TRUETAPE_STORE": "embedded",
        "TRUETAPE_BUCKET_SET": "history",
    }


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """One local Spark session for the whole run, with the Kafka connector."""
    from truetape.batch.spark.session import spark_session
    from truetape.host.jars import spark_jars

    settings = Settings.from_env({"TRUETAPE_HOME": str(tmp_path_factory.mktemp("home"))})
    session = spark_session("truetape tests", settings, spark_jars(settings.cache))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One Kafka and one InfluxDB for the whole run, on ports and in a home of their own.

    Tests may stop or kill a server when they bring it back; data of others must survive that.
    """
    from truetape.serving.backends import open_store
    from truetape.stack import lifecycle as local_stack
    from truetape.stack.server import free_port

    env = {"TRUETAPE_CACHE": os.environ.get("TRUETAPE_CACHE", "")}
    env["TRUETAPE_HOME"] = str(tmp_path_factory.mktemp("stack"))
    env["TRUETAPE_KAFKA"] = f"127.0.0.1:{free_port()}"
    env["TRUETAPE_INFLUX_PORT"] = str(free_port())
    env["TRUETAPE_AIRFLOW"] = "False"  # a minute and a gigabyte that most tests do without
    settings = Settings.from_env(env)
    local_stack.up(settings, build_influx=True)
    with closing(open_store(settings)) as store:
        store.ensure_buckets()  # as `truetape stack up` does
    yield settings
    local_stack.down(settings)


@pytest.fixture(scope="session")
def airflow(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One Airflow for the whole run, beside the run's Kafka and InfluxDB, every DAG paused.

    It has a home, a lake and a topic of its own; its tasks see these settings.
    """
    from support.loop import own_settings
    from truetape.serving.backends import open_store
    from truetape.stack import lifecycle as local_stack
    from truetape.stack.server import free_port

    folder = tmp_path_factory.mktemp("airflow")
    settings = own_settings(stack, folder, airflow=True, airflow_port=free_port(), dags_paused=True)
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    local_stack.up(settings, ("airflow",))
    yield settings
    local_stack.down(settings)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """One Chromium for a module; each test takes a context of its own.

    Not for the whole run: while it is open, no other test could run an event loop of its own.
    """
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "no chromium; install it: make browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def kafka(stack: Settings) -> str:
    """The bootstrap address of the run's Kafka; topics are the run's to share."""
    return stack.kafka


@pytest.fixture(scope="session")
def influx_settings(stack: Settings) -> Settings:
    """Settings that reach the run's InfluxDB; the operator token is in `influx_token_file`."""
    return stack
