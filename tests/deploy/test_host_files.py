"""What `make env` leaves on the host: everything that is asked for, private, and never changed."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from truetape.cli.main import truetape as command_line
from truetape.deploy.host_files import (
    CONTAINER_UID,
    SECRETS,
    Owner,
    owner_here,
    prepare,
    read_variables,
)
from truetape.host.errors import ConfigError

HERE = Owner(os.getuid(), os.getgid())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_every_file_and_variable_of_the_containers_is_created(tmp_path: Path) -> None:
    made = prepare(tmp_path, HERE)

    assert sorted(path.name for path in made) == [".env", *sorted(one.name for one in SECRETS)]
    assert mode(tmp_path / ".env") == 0o600
    assert mode(tmp_path / "secrets") == 0o700
    values = read_variables(tmp_path / ".env")
    assert values["TRUETAPE_UID"] == str(HERE.uid)
    assert values["TRUETAPE_VENUES"] == "XNYS"
    assert len(base64.urlsafe_b64decode(values["TRUETAPE_KAFKA_CLUSTER_ID"] + "==")) == 16


def test_only_files_for_other_images_are_readable_by_other_users(tmp_path: Path) -> None:
    prepare(tmp_path, HERE)

    modes = {path.name: mode(path) for path in (tmp_path / "secrets").iterdir()}
    assert {name for name, found in modes.items() if found == 0o444} == {
        "grafana-key", "grafana-password", "postgres-password",
    }  # fmt: skip
    assert set(modes.values()) == {0o444, 0o600}


def test_secrets_are_random_and_have_the_form_that_their_readers_need(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        prepare(tmp_path / name, HERE)
    one, other = contents(tmp_path / "a"), contents(tmp_path / "b")

    assert not set(one.values()) & set(other.values())
    assert len(base64.urlsafe_b64decode(one["airflow-fernet"])) == 32
    assert sorted(json.loads(one["airflow-passwords"])) == ["admin", "operator", "viewer"]
    password = one["postgres-password"]
    assert len(password) == 64
    assert one["airflow-database"] == (  # without a line's end: Airflow would take it, too
        f"postgresql+psycopg2://airflow:{password}@postgres:5432/airflow"
    )
    lines = dict(line.split(" ", 1) for line in one["spark-defaults"].splitlines())
    assert lines["spark.authenticate"] == "true"
    assert len(lines["spark.authenticate.secret"]) == 64


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path, HERE)
    before, env = contents(tmp_path), (tmp_path / ".env").read_text()

    assert prepare(tmp_path, HERE) == []
    assert contents(tmp_path) == before
    assert (tmp_path / ".env").read_text() == env


def test_missing_values_are_added_and_existing_ones_stay(tmp_path: Path) -> None:
    prepare(tmp_path, HERE)
    before = contents(tmp_path)
    (tmp_path / ".env").write_text("# mine\nTRUETAPE_AIRFLOW_PORT=28080\nOTHER=1")
    (tmp_path / "secrets" / "airflow-database").unlink()

    made = prepare(tmp_path, HERE)

    assert [path.name for path in made] == [".env", "airflow-database"]
    assert contents(tmp_path) == before  # made anew from the password that is there
    text = (tmp_path / ".env").read_text()
    assert text.startswith("# mine\nTRUETAPE_AIRFLOW_PORT=28080\nOTHER=1\n")
    assert text.count("TRUETAPE_AIRFLOW_PORT") == 1
    assert read_variables(tmp_path / ".env")["TRUETAPE_VENUES"] == "XNYS"


@pytest.mark.parametrize(
    ("name", "mode_", "told"),
    [("airflow-jwt", 0o644, "chmod 600"), ("postgres-password", 0o666, "chmod 444")],
)
def test_a_secret_that_other_users_can_read_is_refused(
    tmp_path: Path, name: str, mode_: int, told: str
) -> None:
    prepare(tmp_path, HERE)
    (tmp_path / "secrets" / name).chmod(mode_)

    with pytest.raises(ConfigError, match=told):
        prepare(tmp_path, HERE)


def test_an_open_folder_and_an_empty_secret_are_refused(tmp_path: Path) -> None:
    prepare(tmp_path, HERE)
    (tmp_path / "secrets" / "airflow-jwt").write_text("")
    with pytest.raises(ConfigError, match="airflow-jwt is empty"):
        prepare(tmp_path, HERE)

    (tmp_path / "secrets").chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        prepare(tmp_path, HERE)


def test_containers_never_run_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert owner_here() == Owner(CONTAINER_UID, CONTAINER_UID)

    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(os, "getgid", lambda: 99)
    assert owner_here() == Owner(1234, 99)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_prepared_by_root_the_secrets_belong_to_the_containers_user(tmp_path: Path) -> None:
    prepare(tmp_path, Owner(CONTAINER_UID, CONTAINER_UID))

    owners = {path.stat().st_uid for path in (tmp_path / "secrets").iterdir()}
    assert owners == {CONTAINER_UID}


def test_the_verb_prints_the_files_and_no_secret(tmp_path: Path) -> None:
    first = CliRunner().invoke(command_line, ["deploy", "env", "--folder", str(tmp_path)])
    again = CliRunner().invoke(command_line, ["deploy", "env", "--folder", str(tmp_path)])

    assert first.exit_code == again.exit_code == 0
    assert "secrets/airflow-jwt" in first.output
    assert again.output == "nothing was missing\n"
    secrets = [word for text in contents(tmp_path).values() for word in text.split()]
    assert not [word for word in secrets if len(word) > 20 and word in first.output]


def test_the_written_files_are_ignored_by_git_and_by_the_image() -> None:
    root = Path(__file__).parents[2]
    ignored = (root / ".gitignore").read_text().splitlines()
    kept = [line for line in (root / ".dockerignore").read_text().splitlines() if line[:1] == "!"]

    assert {"/.env", "/secrets/"} <= set(ignored)
    assert "*" in (root / ".dockerignore").read_text().splitlines()
    assert not [line for line in kept if "secrets" in line or ".env" in line]
