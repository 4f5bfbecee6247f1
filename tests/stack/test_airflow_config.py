"""Airflow's configuration, environment and secrets, without an Airflow."""

import base64
import json
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from truetape.host.settings import Settings
from truetape.stack import airflow_config
from truetape.stack.airflow_main import MAX_RESTARTS, WITHIN_S, may_restart
from truetape.stack.airflow_server import AirflowServer


def silent(_: str) -> None:
    """Report nothing."""


def test_airflow_listens_on_loopback_at_its_own_port(tmp_path: Path) -> None:
    env = {"TRUETAPE_HOME": str(tmp_path / "100% of it"), "TRUETAPE_AIRFLOW_PORT": "28080"}
    parser = ConfigParser()
    parser.read_string(airflow_config.airflow_cfg(Settings.from_env(env)))

    assert parser["api"]["host"] == "127.0.0.1"
    assert parser["core"]["execution_api_server_url"] == "http://127.0.0.1:28080/execution/"
    assert parser["core"]["load_examples"] == "False"
    assert parser["core"]["parallelism"] == "4"
    assert parser["core"]["simple_auth_manager_users"] == "admin:admin,operator:op,viewer:viewer"
    assert parser["database"]["sql_alchemy_conn"].endswith("/100% of it/airflow/airflow.db")
    assert "simple_auth_manager_all_admins" not in parser["core"]


def test_the_dags_and_plugins_of_the_installation_are_named(settings: Settings) -> None:
    parser = ConfigParser()
    parser.read_string(airflow_config.airflow_cfg(settings))

    root = Path(__file__).parents[2]
    assert Path(parser["core"]["dags_folder"]) == root / "dags"
    assert Path(parser["core"]["plugins_folder"]) == root / "plugins"


def test_secrets_are_generated_once_and_appear_in_no_other_file(settings: Settings) -> None:
    first = AirflowServer(settings).program(silent)
    files = {file.name: file.read_text().strip() for file in (settings.home / "secrets").iterdir()}
    again = AirflowServer(settings).program(silent)
    after = {file.name: file.read_text().strip() for file in (settings.home / "secrets").iterdir()}

    assert sorted(files) == [
        "airflow-fernet", "airflow-jwt", "airflow-passwords.json", "airflow-session",
    ]  # fmt: skip
    assert files == after
    assert first == again
    assert len(base64.urlsafe_b64decode(files["airflow-fernet"])) == 32
    passwords = json.loads(files["airflow-passwords.json"])
    assert sorted(passwords) == ["admin", "operator", "viewer"]
    assert len(set(passwords.values())) == 3
    told = (settings.home / "airflow" / "airflow.cfg").read_text() + repr(first)
    assert not [secret for secret in [*files.values(), *passwords.values()] if secret in told]


def test_a_new_user_gets_a_password_and_the_others_keep_theirs(settings: Settings) -> None:
    airflow_config.ensure_passwords(settings)
    file = airflow_config.passwords_file(settings)
    known = json.loads(file.read_text())
    file.write_text(json.dumps({"admin": known["admin"], "operator": known["operator"]}))

    airflow_config.ensure_passwords(settings)

    now = json.loads(file.read_text())
    assert (now["admin"], now["operator"]) == (known["admin"], known["operator"])
    assert now["viewer"] not in ("", known["viewer"])


def test_tasks_find_spark_and_see_the_same_stack(settings: Settings) -> None:
    env = airflow_config.environment(settings, {"PATH": "/bin", "AIRFLOW_HOME": "/elsewhere"})

    programs = Path(sys.executable).parent
    assert env["PATH"].split(":")[0] == str(programs)
    assert (programs / "spark-submit").exists()
    assert env["PYSPARK_PYTHON"] == env["PYSPARK_DRIVER_PYTHON"] == sys.executable
    assert Settings.from_env(env) == settings
    assert env["AIRFLOW_HOME"] == str(settings.home / "airflow")


def test_connections_variables_and_options_come_from_the_environment(settings: Settings) -> None:
    outer = {
        "AIRFLOW_CONN_LAKE": "s3://",
        "AIRFLOW_VAR_LIMIT": "5",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "OTHER": "1",
    }

    env = airflow_config.environment(settings, outer)

    assert outer.items() - {("OTHER", "1")} <= env.items()
    assert "OTHER" not in env
    connection = json.loads(env["AIRFLOW_CONN_SPARK_DEFAULT"])
    assert (connection["conn_type"], connection["host"]) == ("spark", "local[2]")
    other = airflow_config.environment(settings, {"AIRFLOW_CONN_SPARK_DEFAULT": "spark://m:7077"})
    assert other["AIRFLOW_CONN_SPARK_DEFAULT"] == "spark://m:7077"


@pytest.mark.parametrize(
    ("ends", "may"),
    [
        ([], True),
        ([0.0] * MAX_RESTARTS, True),
        ([0.0] * (MAX_RESTARTS + 1), False),
        ([-WITHIN_S] * 50 + [0.0], True),
    ],
    ids=["never ended", "often", "too often", "long ago"],
)
def test_a_component_that_ends_too_often_is_not_restarted(ends: list[float], may: bool) -> None:
    assert may_restart(ends, now=1.0) is may
