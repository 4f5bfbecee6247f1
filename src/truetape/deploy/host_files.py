"""The host's files for the containers: the variables of `.env` and the files of `secrets/`.

Creates what is missing, never changes an existing value, and prints no secret.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from truetape.host import secret_files
from truetape.host.errors import ConfigError
from truetape.host.settings import Secret
from truetape.host.state_files import read_text, write_text
from truetape.stack.airflow_config import USERS, new_fernet_key
from truetape.stack.kafka_server import new_cluster_id

CONTAINER_UID = 50_000
"""The user of truetape's containers if root prepares the files; else it is the caller."""
PRIVATE = 0o600
SHARED = 0o444
"""For a file that the user of another image reads. No other user can enter `secrets/`, and a
container gets only the file.
"""
DATABASE = "airflow"
"""The user and the database of Airflow in Postgres."""
_ENV_CURE = "restore it, or remove it and run make env again"
_VALUE_CURE = "restore it; a new value fits the servers only if they are set up anew"
_HEADER = "# Written by `make env`; has no secret. Your own values stay when it runs again.\n"


@dataclass(frozen=True, slots=True)
class Owner:
    """The user and the group of truetape's containers."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class SecretFile:
    """One file of `secrets/`: its mode, and its content, built from the files before it."""

    name: str
    mode: int
    make: Callable[[Mapping[str, Secret]], Secret]


def random_secret(_: Mapping[str, Secret]) -> Secret:
    """Return a new random secret."""
    return secret_files.generate()


def database_url(made: Mapping[str, Secret]) -> Secret:
    """Return the address of Airflow's database, with its password."""
    password = made["postgres-password"].reveal()
    return Secret(f"postgresql+psycopg2://{DATABASE}:{password}@postgres:5432/{DATABASE}")


def user_passwords(_: Mapping[str, Secret]) -> Secret:
    """Return a password for each of Airflow's users, as JSON."""
    return Secret(json.dumps({user: secrets.token_urlsafe(12) for user in USERS}))


def spark_defaults(_: Mapping[str, Secret]) -> Secret:
    """Return Spark's configuration file: Spark refuses anybody without its secret.

    Spark reads the secret from this file, else only from a command line, which others can see.
    """
    values = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret_files.generate().reveal(),
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.cipher": "AES/GCM/NoPadding",
        "spark.master.rest.enabled": "false",
        "spark.ui.killEnabled": "false",
    }
    return Secret("\n".join(f"{key} {value}" for key, value in values.items()))


SECRETS = (
    SecretFile("airflow-fernet", PRIVATE, lambda _: new_fernet_key()),
    SecretFile("airflow-jwt", PRIVATE, random_secret),
    SecretFile("airflow-passwords", PRIVATE, user_passwords),
    SecretFile("airflow-session", PRIVATE, random_secret),
    SecretFile("grafana-key", SHARED, random_secret),
    SecretFile("grafana-password", SHARED, random_secret),
    SecretFile("influx-operator-token", PRIVATE, random_secret),
    SecretFile("influx-password", PRIVATE, random_secret),
    SecretFile("postgres-password", SHARED, random_secret),
    SecretFile("spark-defaults", PRIVATE, spark_defaults),
    SecretFile("airflow-database", PRIVATE, database_url),
)


def owner_here() -> Owner:
    """Return the user of the containers: the caller, but never root."""
    if os.getuid() == 0:
        return Owner(CONTAINER_UID, CONTAINER_UID)
    return Owner(os.getuid(), os.getgid())


def variables(owner: Owner) -> dict[str, str]:
    """Return every variable that the compose file needs; the ports are the local stack's."""
    return {
        "TRUETAPE_UID": str(owner.uid),
        "TRUETAPE_GID": str(owner.gid),
        "TRUETAPE_KAFKA_CLUSTER_ID": new_cluster_id(),
        "TRUETAPE_AIRFLOW_PORT": "18080",
        "TRUETAPE_GRAFANA_PORT": "13000",
        "TRUETAPE_INFLUX_PORT": "18086",
        "TRUETAPE_KAFKA_PORT": "19092",
        "TRUETAPE_BUCKET_SET": "live",
        "TRUETAPE_FEEDS": "truetape",
        "TRUETAPE_INFLUX_ORG": "truetape",
        "TRUETAPE_PROFILE": "sip",
        "TRUETAPE_SPEED_VENUES": "XNYS",
        "TRUETAPE_VENUES": "XNYS",
    }


def prepare(folder: Path, owner: Owner) -> list[Path]:
    """Create what `folder` lacks of `.env` and `secrets/`. Return the new and extended files.

    Safe to repeat: an existing value stays. Raise ConfigError if a file is empty, or if other users
    can read a private one.
    """
    changed = [_add_variables(folder / ".env", variables(owner))]
    place = folder / "secrets"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_mode & 0o077:
        raise ConfigError(f"other users can read {place}; make it private: chmod 700 {place}")
    values: dict[str, Secret] = {}
    for secret in SECRETS:
        file = place / secret.name
        if not file.exists():
            _write(file, secret, secret.make(values), owner)
            changed.append(file)
        values[secret.name] = _read(file, secret)
    return [path for path in changed if path is not None]


def read_variables(env_file: Path) -> dict[str, str]:
    """Return the variables of an `.env` file. Empty if there is no file."""
    text = read_text(env_file, _ENV_CURE) or ""
    lines = [line.partition("=") for line in text.splitlines()]
    return {name.strip(): value for name, equals, value in lines if equals and name[:1] != "#"}


def _add_variables(env_file: Path, needed: Mapping[str, str]) -> Path | None:
    present = read_variables(env_file)
    missing = {name: value for name, value in needed.items() if name not in present}
    if not missing:
        return None
    before = read_text(env_file, _ENV_CURE) or _HEADER
    if not before.endswith("\n"):
        before += "\n"
    added = "".join(f"{name}={value}\n" for name, value in missing.items())
    write_text(env_file, before + added)
    return env_file


def _write(file: Path, secret: SecretFile, value: Secret, owner: Owner) -> None:
    # Airflow uses the output of `cat` as its database address, with a newline at the end
    secret_files.write(file, value, end="")
    if os.getuid() == 0:
        os.chown(file, owner.uid, owner.gid)
    file.chmod(secret.mode)


def _read(file: Path, secret: SecretFile) -> Secret:
    mode = file.stat().st_mode & 0o777
    if mode & ~secret.mode:
        raise ConfigError(f"{file} has mode {mode:04o}; set it: chmod {secret.mode:o} {file}")
    value = (read_text(file, _VALUE_CURE) or "").strip()
    if not value:
        raise ConfigError(f"{file} is empty; remove it and run make env again")
    return Secret(value)
