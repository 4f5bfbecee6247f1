"""The verb `stack up` starts an InfluxDB that has the declared buckets and tasks."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from truetape.cli.stack import stack
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.stack.server import free_port

pytestmark = pytest.mark.real


def test_stack_up_creates_the_declared_buckets_and_tasks_once(tmp_path: Path) -> None:
    env = {
        "TRUETAPE_CACHE": os.environ.get("TRUETAPE_CACHE", ""),
        "TRUETAPE_HOME": str(tmp_path / "home"),
        "TRUETAPE_KAFKA": f"127.0.0.1:{free_port()}",
        "TRUETAPE_INFLUX_PORT": str(free_port()),
        "TRUETAPE_AIRFLOW_PORT": str(free_port()),
    }
    runner = CliRunner(env=env)
    try:
        first = runner.invoke(stack, ["up", "influx", "--build-influx"], catch_exceptions=False)
        again = runner.invoke(stack, ["up", "influx"], catch_exceptions=False)
        shown = runner.invoke(stack, ["status", "--json"], catch_exceptions=False)
        with closing(open_store(Settings.from_env(env))) as store:
            left = store.ensure_buckets() + store.ensure_rollups()
    finally:
        runner.invoke(stack, ["down"], catch_exceptions=False)

    made = {"bars_1s", "bars_1m", "bars_5m", "bars_1h", "bars_1d", "pipeline"} | {
        f"task 'truetape live {name} {width}'"
        for name in ("rollup", "moving_average")
        for width in ("5m", "1h")
    }
    assert {line[8:] for line in first.stderr.splitlines() if line.startswith("created ")} == made
    assert "created" not in again.stderr
    assert left == []
    states = {part["part"]: part["state"] for part in map(json.loads, shown.stdout.splitlines())}
    assert states == {"kafka": "stopped", "influx": "running", "airflow": "stopped"}
