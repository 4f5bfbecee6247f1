"""Airflow's configuration file, its environment, and its users. Starts nothing.

`airflow.cfg` has every option, so that `AIRFLOW_HOME=... airflow ...` by hand works as the servers
do. It has no secret: it names the files of the secrets.
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
from truetape.host.state_files import JsonFile, of_type
from truetape.stack.server import LOOPBACK

USERS = {"admin": "admin", "operator": "op", "viewer": "viewer"}
"""Each user of the local Airflow and its role in the simple auth manager."""
PARALLELISM = 4
"""Tasks at once: each is a process of 150 MB, and some start a Spark driver."""


_PASSWORDS = JsonFile(
    "list of passwords by user",
    of_type(dict[str, str]),
    "restore it, or remove it for new passwords",
)


def home(settings: Settings) -> Path:
    """Return AIRFLOW_HOME."""
    return settings.home / "airflow"


def passwords_file(settings: Settings) -> Path:
    """Return the file with each user's password, as JSON."""
    return settings.home / "secrets" / "airflow-passwords.json"


def secret_file(settings: Settings, name: str) -> Path:
    """Return the file of one of Airflow's keys: "fernet", "jwt" or "session"."""
    return settings.home / "secrets" / f"airflow-{name}"


def ensure_passwords(settings: Settings) -> None:
    """Generate a password for every user without one; Airflow would print its own into its log."""
    present = passwords(settings)
    missing = {user: secrets.token_urlsafe(12) for user in USERS if user not in present}
    if missing:
        every = {user: present[user].reveal() for user in present} | missing
        secret_files.write(passwords_file(settings), Secret(json.dumps(every)))


def passwords(settings: Settings) -> dict[str, Secret]:
    """Return the password of each user. Empty before the first start of Airflow."""
    content = secret_files.read(passwords_file(settings))
    return {} if content is None else passwords_of(content, passwords_file(settings))


def passwords_of(content: Secret, file: Path) -> dict[str, Secret]:
    """Return the password of each user from the content of `file`. Raise ConfigError if it is
    damaged.
    """
    by_user = _PASSWORDS.decode(content.reveal(), file)
    return {user: Secret(password) for user, password in by_user.items()}


def new_fernet_key() -> Secret:
    """Generate the key that Airflow encrypts connections with: 32 bytes in url-safe base64."""
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
        # Airflow sets the rights of a task's log itself, whatever the umask is
        "logging": {
            "base_log_folder": home(settings) / "logs",
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
        },
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_plain(value)}\n" for key, value in options.items())
        for name, options in sections.items()
    )


def environment(settings: Settings, outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Airflow and its tasks.

    From `outer` it takes connections (AIRFLOW_CONN_*), variables (AIRFLOW_VAR_*), options
    (AIRFLOW__*) and the variables that point Spark to a cluster (`READ_BY_SPARK`). Tasks find this
    stack through TRUETAPE_*; spark-submit finds Spark and Python through PATH and PYSPARK_*.
    """
    inherited = ("HOME", "LANG", "TZ", "JAVA_TOOL_OPTIONS", *READ_BY_SPARK)
    added = ("AIRFLOW_CONN_", "AIRFLOW_VAR_", "AIRFLOW__")
    programs = f"{Path(sys.executable).parent}:{find_java().parent}"
    own = {
        "AIRFLOW_HOME": str(home(settings)),
        "PATH": f"{programs}:{outer.get('PATH', os.defpath)}",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    connections = {"AIRFLOW_CONN_SPARK_DEFAULT": spark_connection(settings)}
    taken = {name: outer[name] for name in outer if name in inherited or name.startswith(added)}
    return connections | taken | settings.to_env() | own


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
