"""The cluster is a setting: two workers without truetape produce the same bars as one machine."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from support.dag_runs import runner, states
from support.loop import own_settings, send, served, truth_of
from support.spark_cluster import Cluster, two_workers
from truetape.broker.offsets import end_offsets
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.tables import Table, table_path
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.pipeline.sessions import finalize_sessions
from truetape.serving.backends import open_store
from truetape.serving.store import ServedBar
from truetape.speed.launcher import environment
from truetape.stack import airflow_config
from truetape.tour.speed_process import SpeedProcess

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.real, pytest.mark.long]

VENUE = "BITSTAMP"
SESSION = calendars.session(venues()[VENUE], date(2026, 3, 6))
TROUBLED = Faults(late=0.01, duplicate=0.02, cancel=0.01, correct=0.01, malformed=0.01)
PLAN = SimulationPlan(
    SESSION.date, venue=VENUE, seed=3, trades=900, duration_s=120, faults=TROUBLED
)
READ_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for the module."""
    with two_workers(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def places(
    stack: Settings, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, Settings]:
    """Settings of one machine, and of the cluster; Airflow's tasks read the latter.

    They differ in the Spark master, which sets the connection, and in the URL of the lake. Home and
    topic differ, too, so that neither sees the other's data.
    """
    there = dataclasses.replace(
        on_one_machine(stack, tmp_path / "there"),
        spark_master=cluster.master,
        lake=f"file://{tmp_path}/there/lake",
        batch_engine="spark",
    )
    for name, value in airflow_config.environment(there, os.environ).items():
        if name != "AIRFLOW_HOME":
            monkeypatch.setenv(name, value)
    return on_one_machine(stack, tmp_path / "here"), there


def test_a_cluster_produces_the_same_bars_as_one_machine(
    spark: "SparkSession", airflow_db: None, cluster: Cluster, places: tuple[Settings, Settings]
) -> None:
    here, there = places
    made = simulate(PLAN)

    with streaming(here, made.records):
        provisional = bars(here)
    with streaming(there, made.records):
        assert bars(there) == provisional
        assert {bar.layer for bar in provisional} == {"speed"}
        finalize_sessions(here, [SESSION], "tests", lambda _: None)
        run = runner()
        archived = run("archive_trades")
        final = run(f"batch_recompute_{VENUE.lower()}", session=str(SESSION.date))
        assert cluster.applications("active") == {"truetape speed layer"}

    assert states(archived)["archive"] == states(archived)["announce_new_records"] == "success"
    assert "failed" not in states(archived).values()
    assert states(final)["verify"] == "success"
    assert bars(there) == bars(here)
    assert {(bar.layer, bar.final) for bar in bars(there)} == {("batch", True)}
    with closing(open_store(there)) as store:
        assert served(store, SESSION) == truth_of(made, SESSION)
    for table in (Table.TRADES, Table.BARS):
        assert rows(there, table) == rows(here, table)
    assert cluster.applications("completed") >= {"truetape ingest", "truetape recompute"}
    assert len(cluster.shipped()) == 1


def test_a_driver_with_another_version_of_truetape_is_rejected(
    stack: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    settings = dataclasses.replace(on_one_machine(stack, tmp_path), spark_master=cluster.master)
    driver = (
        "import truetape; truetape.__version__ = '9.9'\n"
        "from truetape.batch.spark.session import spark_session\n"
        "from truetape.host.settings import Settings\n"
        "spark_session('another version', Settings.from_env(), [])"
    )

    done = subprocess.run(
        [sys.executable, "-c", driver],
        env=environment(settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("truetape.host.errors.ConfigError: spark://127.0.0.1:")
    assert "truetape is 0.1.0 on " in message
    assert "and 9.9 in the driver" in message


def on_one_machine(stack: Settings, folder: Path) -> Settings:
    """Return settings with their own store. The lateness is longer than the simulated time, so that
    provisional bars do not depend on the micro-batches.
    """
    return own_settings(stack, folder, store="embedded", venues=(VENUE,), speed_lateness_s=3_600)


@contextmanager
def streaming(settings: Settings, records: tuple[Record, ...]) -> Iterator[None]:
    """Run a driver that has read all records. They come in two parts: the second needs state."""
    half = len(records) // 2
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    driver = SpeedProcess.start(settings)
    try:
        driver.wait_until_ready()
        for part in (records[:half], records[half:]):
            send(settings, part)
            driver.wait_until_read(end_offsets(settings.kafka, settings.topic), READ_WITHIN_S)
        yield
        assert driver.stop() == 0
    finally:
        driver.kill()


def bars(settings: Settings, session: Session = SESSION) -> list[ServedBar]:
    """Return all served bars of a session."""
    with closing(open_store(settings)) as store:
        return [
            bar
            for resolution in Resolution
            for bar in store.read(resolution, session.start_ns, session.end_ns, venue=session.venue)
        ]


def rows(settings: Settings, table: Table) -> list[Any]:
    """Return the rows of a table without the topic, since each run has its own topic."""
    table_rows = DeltaTable(table_path(settings.lake, table)).to_pyarrow_table()
    comparable = table_rows.drop_columns(
        [name for name in ("topic",) if name in table_rows.column_names]
    )
    return sorted(comparable.to_pylist(), key=str)
