"""InfluxDB's configuration and where its program comes from, without a server."""

import json
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.stack import influxd
from truetape.stack.influx_server import InfluxServer, influxd_config


def program(path: Path, says: str) -> Path:
    """An `influxd` that only answers `influxd version`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine without influxd."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    home, cache = str(tmp_path / "home"), str(tmp_path / "cache")
    return Settings.from_env({"TRUETAPE_HOME": home, "TRUETAPE_CACHE": cache})


def test_influxd_listens_on_loopback_and_sends_no_telemetry() -> None:
    config = json.loads(influxd_config("127.0.0.1:18086", Path("/home/of/truetape")))

    assert config["http-bind-address"] == "127.0.0.1:18086"
    assert config["reporting-disabled"] is True


def test_a_url_in_the_settings_names_an_external_server() -> None:
    ours = Settings.from_env({"TRUETAPE_INFLUX_PORT": "28086"})
    theirs = Settings.from_env({"TRUETAPE_INFLUX_URL": "http://127.0.0.1:8086"})

    assert InfluxServer(ours).port == 28086
    assert InfluxServer(theirs).port is None


def test_influxd_on_the_path_is_used(empty: Settings, tmp_path: Path) -> None:
    there = program(tmp_path / "bin" / "influxd", "InfluxDB v2.9.1 (git: none)")

    assert influxd.find(empty) == there


def test_an_influxd_of_version_1_is_skipped(empty: Settings, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "influxd", "InfluxDB v1.6.7 (git: unknown unknown)")
    built = program(influxd.built_path(empty), "")

    assert influxd.find(empty) == built


def test_without_influxd_the_error_lists_the_choices(empty: Settings) -> None:
    assert influxd.find(empty) is None
    with pytest.raises(ConfigError, match="--build-influx"):
        InfluxServer(empty).program(pytest.fail)
