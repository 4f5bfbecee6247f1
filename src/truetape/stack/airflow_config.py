"""Airflow's configuration file, its environment, and its users. Starts nothing.

Everything that holds no secret is in `airflow.cfg`, so that `AIRFLOW_HOME=... airflow ...` by hand
works as the servers do; secrets are files that the configuration names.
"""

import base64
import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from truetape.batch.spark.conf import READ_BY_SPARK
from truetape.host import secret_files
from truetape.host.java import find_java
from truetape.host.resources import folder
from truetape.host.settings import Secret, Settings
from truetape.stack.server import LOOPBACK

USERS = {"admin": "admin", "operator": "op", "viewer": "viewer"}
"""Each user of the local Airflow and its role in the simple auth manager."""
PARALLELISM = 4
"""Tasks at once: each is a process of 150 MB, and a Spark driver below some of them."""


def home(settings: Settings) -> Path:
    """Return AIRFLOW_HOME."""
    return settings.home / "airflow"


def passwords_file(settings: Settings) -> Path:
    """Return the file that holds each user's password, as JSON."""
    return settings.home / "secrets" / "airflow-passwords.json"


def secret_file(settings: Settings, name: str) -> Path:
    """Return the file of one of Airflow's own keys: "fernet", "jwt" or "session"."""
    return settings.home / "secrets" / f"airflow-{name}"


def ensure_passwords(settings: Settings) -> None:
    """Make a password for every user who has none; Airflow would print those into its log."""
    known = passwords(settings)
    missing = {user: secrets.token_urlsafe(12) for user in USERS if user not in known}
    if missing:
        given = {user: known[user].reveal() for user in known} | missing
        secret_files.write(passwords_file(settings), Secret(json.dumps(given)))


def passwords(settings: Settings) -> dict[str, Secret]:
    """Return the password of each user; empty before Airflow was first started."""
    found = secret_files.read(passwords_file(settings))
    known: dict[str, str] = {} if found is None else json.loads(found.reveal())
    return {user: Secret(password) for user, password in known.items()}


def new_fernet_key() -> Secret:
    """Make the key that Airflow encrypts connections with: 32 bytes in url-safe base64."""
    return Secret(base64.urlsafe_b64encode(os.urandom(32)).decode())


def airflow_cfg(settings: Settings) -> str:
    """Render airflow.cfg: loopback, one machine, no examples, passwords for every role."""
    url = f"http://{LOOPBACK}:{settings.airflow_port}"
    sections: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": folder("dags"),
            "plugins_folder": folder("plugins"),
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": PARALLELISM,
            "dags_are_paused_at_creation": settings.dags_paused,
            "fernet_key_cmd": _cat(secret_file(settings, "fernet")),
            "simple_auth_manager_users": ",".join(f"{user}:{USERS[user]}" for user in USERS),
            "simple_auth_manager_passwords_file": passwords_file(settings),
            "execution_api_server_url": f"{url}/execution/",
        },
        "api": {
            "host": LOOPBACK,
            "port": settings.airflow_port,
            "base_url": url,
            "workers": 1,
            "secret_key_cmd": _cat(secret_file(settings, "session")),
        },
        "api_auth": {"jwt_secret_cmd": _cat(secret_file(settings, "jwt"))},
        "database": {"sql_alchemy_conn": f"sqlite:///{home(settings)}/airflow.db"},
        # the default of 300 s would hide a new DAG file for minutes
        "dag_processor": {"refresh_interval": 10},
        "logging": {"base_log_folder": home(settings) / "logs"},
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_plain(value)}\n" for key, value in options.items())
        for name, options in sections.items()
    )


def environment(settings: Settings, outer: Mapping[str, str]) -> dict[str, str]:
    """Return what Airflow and its tasks run with.

    `outer` may add connections (AIRFLOW_CONN_*), variables (AIRFLOW_VAR_*) and options
    (AIRFLOW__*), and tell Spark of a cluster (`READ_BY_SPARK`). Tasks see this stack through
    TRUETAPE_*, and spark-submit finds its Spark and its Python by the three variables that it looks
    at.
    """
    kept = ("HOME", "LANG", "TZ", "JAVA_TOOL_OPTIONS", *READ_BY_SPARK)
    added = ("AIRFLOW_CONN_", "AIRFLOW_VAR_", "AIRFLOW__")
    programs = f"{Path(sys.executable).parent}:{find_java().parent}"
    own = {
        "AIRFLOW_HOME": str(home(settings)),
        "PATH": f"{programs}:{outer.get('PATH', os.defpath)}",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    connections = {"AIRFLOW_CONN_SPARK_DEFAULT": spark_connection(settings)}
    theirs = {name: outer[name] for name in outer if name in kept or name.startswith(added)}
    return connections | theirs | settings.to_env() | own


def spark_connection(settings: Settings) -> str:
    """Return the connection `spark_default`: the cluster that Spark jobs are submitted to."""
    return json.dumps(
        {
            "conn_type": "spark",
            "host": settings.spark_master,
            "extra": {"deploy-mode": "client"},
        }
    )


def _cat(path: Path) -> str:
    return f"cat {shlex.quote(str(path))}"


def _plain(value: object) -> str:
    return str(value).replace("%", "%%")  # configparser interpolates
