"""The errors and the status of the stack before any server runs."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.small_disk import small_disk
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.stack import lifecycle as local_stack
from truetape.stack.lifecycle import PartState
from truetape.stack.server import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A loopback port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings_of(tmp_path: Path, **env: str) -> Settings:
    """Settings with an empty home and ports on which nothing listens."""
    values = {"home": str(tmp_path / "home"), "kafka": f"127.0.0.1:{free_port()}"}
    values |= {"influx_port": str(free_port()), "airflow_port": str(free_port())} | env
    return Settings.from_env({f"TRUETAPE_{name.upper()}": values[name] for name in values})


def silent(_: str) -> None:
    """Report nothing."""


def test_a_taken_kafka_port_is_an_error_that_names_its_setting(tmp_path: Path, taken: int) -> None:
    settings = settings_of(tmp_path, kafka=f"127.0.0.1:{taken}")

    with pytest.raises(ConfigError, match=rf"port {taken} is taken .*TRUETAPE_KAFKA="):
        local_stack.up(settings, ("kafka",), silent)


def test_a_taken_influx_port_is_an_error_that_names_its_setting(tmp_path: Path, taken: int) -> None:
    settings = settings_of(tmp_path, influx_port=str(taken))

    with pytest.raises(ConfigError, match=rf"port {taken} is taken .*TRUETAPE_INFLUX_PORT="):
        local_stack.up(settings, ("influx",), silent)


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such part: spark"):
        local_stack.up(settings_of(tmp_path), ("spark",), silent)


@pytest.mark.parametrize(
    ("env", "parts"),
    [
        ({}, ("kafka", "influx", "airflow")),
        ({"store": "embedded"}, ("kafka", "airflow")),
        ({"airflow": "False"}, ("kafka", "influx")),
    ],
    ids=["all", "embedded store", "no airflow"],
)
def test_the_settings_decide_which_parts_are_needed(
    tmp_path: Path, env: dict[str, str], parts: tuple[str, ...]
) -> None:
    assert local_stack.needed_parts(settings_of(tmp_path, **env)) == parts


def test_a_taken_airflow_port_is_an_error_that_names_its_setting(
    tmp_path: Path, taken: int
) -> None:
    settings = settings_of(tmp_path, airflow_port=str(taken))

    with pytest.raises(ConfigError, match=rf"port {taken} is taken .*TRUETAPE_AIRFLOW_PORT="):
        local_stack.up(settings, ("airflow",), silent)


def test_an_external_influxdb_that_is_away_is_not_started(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings = settings_of(tmp_path, influx_url=url)
    settings.influx_token_file.parent.mkdir(parents=True)
    settings.influx_token_file.touch(mode=0o600)
    settings.influx_token_file.write_text("token")

    with pytest.raises(TransientError, match="the external influx does not work"):
        local_stack.up(settings, ("influx",), silent)
    [influx] = [part for part in local_stack.status(settings) if part.part == "influx"]
    assert (influx.state, influx.pid, influx.address) == (PartState.AWAY, None, url)


def test_an_external_influxdb_without_a_token_is_an_error_that_names_the_file(
    tmp_path: Path,
) -> None:
    settings = settings_of(tmp_path, influx_url=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(TransientError, match=r"no token in .*influx-token"):
        local_stack.up(settings, ("influx",), silent)


def test_a_full_disk_under_a_stopped_server_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with small_disk(settings.home / "kafka", 24) as disk:
        assert kafka_problem(settings) is None
        disk.fill()

        problem = kafka_problem(settings)
        assert problem is not None
        assert f"the disk of {disk.path} is full (0.0 MB left); make room" in problem
        assert '"Disk" in docs/RUNBOOK.md' in problem

        disk.make_room()
        assert kafka_problem(settings) is None


def kafka_problem(settings: Settings) -> str | None:
    [problem] = [part.problem for part in local_stack.status(settings) if part.part == "kafka"]
    return problem


def test_a_stack_that_never_ran_has_status_stopped(tmp_path: Path) -> None:
    states = {status.part: status.state for status in local_stack.status(settings_of(tmp_path))}

    assert states == dict.fromkeys(("kafka", "influx", "airflow"), PartState.STOPPED)


def test_stopping_a_stack_that_does_not_run_is_harmless(tmp_path: Path) -> None:
    local_stack.down(settings_of(tmp_path), silent)


def test_sparse_files_count_with_their_size_on_disk(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(50_000_000)

    size = local_stack.disk_bytes(tmp_path)

    assert size is not None
    assert size < 1_000_000
    assert local_stack.disk_bytes(tmp_path / "absent") is None
