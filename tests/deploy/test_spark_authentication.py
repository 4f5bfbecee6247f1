"""Spark's secret file as `make env` writes it, on a real cluster: without it no work is done."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.composed import Host
from support.spark_cluster import Cluster, two_workers
from truetape.batch.spark.conf import executor_python
from truetape.deploy.health import master_problem, worker_problem

pytestmark = [pytest.mark.real, pytest.mark.spark]

COUNT = """
import sys
from pyspark.sql import SparkSession
session = SparkSession.builder.master(sys.argv[1]).config("spark.ui.enabled", "false").config(
    "spark.driver.host", "127.0.0.1").config("spark.cores.max", "2").getOrCreate()
print("counted", session.sparkContext.parallelize(range(100), 4).map(lambda n: n + 1).sum())
"""
WITHIN_S = 180.0
REFUSED = "Failed to connect to master"
"""What a driver logs each time that the master refuses it: three times within a minute."""


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that containers see as /etc/truetape/spark."""
    folder = tmp_path_factory.mktemp("conf")
    host = Host.made(folder / "host")
    (folder / "spark-defaults.conf").write_text(host.secret("spark-defaults").read_text())
    return folder


@pytest.fixture(scope="module")
def cluster(conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with two_workers(tmp_path_factory.mktemp("cluster"), conf) as running:
        yield running


def counted(cluster: Cluster, conf: Path) -> "subprocess.CompletedProcess[str]":
    """Run a driver that adds up to 5,050."""
    words, env = command(cluster, conf)
    return subprocess.run(
        words, env=env, check=False, capture_output=True, text=True, timeout=WITHIN_S
    )


def command(cluster: Cluster, conf: Path | None) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a driver, with the secret file or without."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    env |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_DRIVER_PYTHON": sys.executable}
    env["PYSPARK_PYTHON"] = executor_python(cluster.master)
    if conf is not None:
        env["SPARK_CONF_DIR"] = str(conf)
    return [sys.executable, "-c", COUNT, cluster.master], env


def test_a_driver_with_the_secret_works(cluster: Cluster, conf: Path) -> None:
    done = counted(cluster, conf)

    assert "counted 5050" in done.stdout, done.stderr[-2_000:]


def test_a_driver_without_the_secret_is_refused(cluster: Cluster) -> None:
    """It is ended once it was refused; left alone, it gives up after a minute."""
    words, env = command(cluster, None)
    driver = subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert driver.stderr is not None
    refused = next((line for line in driver.stderr if REFUSED in line), "")
    os.killpg(driver.pid, signal.SIGKILL)
    printed, _ = driver.communicate(timeout=WITHIN_S)

    assert refused
    assert "counted" not in printed


def test_master_and_workers_are_healthy(cluster: Cluster) -> None:
    url = cluster.state_url.removesuffix("/json/")

    assert master_problem(url) is None
    assert worker_problem(url, "127.0.0.1") is None
    assert worker_problem(url, "127.0.0.2") is not None


def test_the_secret_is_on_no_command_line(cluster: Cluster, conf: Path) -> None:
    lines = (conf / "spark-defaults.conf").read_text().splitlines()
    [secret] = [line.split()[1] for line in lines if line.startswith("spark.authenticate.secret ")]
    seen = [
        (process / "cmdline").read_text(errors="replace")
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and (process / "cmdline").exists()
    ]

    assert [line for line in seen if "deploy.master.Master" in line]
    assert not [line for line in seen if secret in line]
