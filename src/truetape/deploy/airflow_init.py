"""Sets Airflow's database and users up, once, through Airflow's own command line.

Imports nothing of Airflow. Passwords go in by standard input: a command line can be seen by others.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from truetape.host import secret_files
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Secret

ROLES = {"admin": "Admin", "operator": "Op", "viewer": "Viewer"}
"""Each user and its role in FAB, as `stack.airflow_config.USERS` has them in the simple manager."""
_WITHIN_S = 600.0


def prepare_airflow(passwords_file: Path, report: Callable[[str], None]) -> None:
    """Bring the database up to date and create the users that are missing. Safe to repeat.

    A user who is there keeps password and roles. ConfigError when the file of passwords is missing
    or lacks one; TransientError when Airflow's command ends with an error.
    """
    passwords = _passwords(passwords_file)
    _airflow("db", "migrate")
    report("the database is up to date")
    # FAB lets no viewer see pages of plugins, and the console is one
    _airflow("roles", "add-perms", "Viewer", "--resource", "Plugins", "--action", "can_read")
    for user, role in ROLES.items():
        _create(user, role, passwords[user])
        report(f"user {user} is there, role {role}")


def create_words(user: str, role: str) -> tuple[str, ...]:
    """Return the words that create a user; Airflow asks for the password, twice."""
    named = ("--username", user, "--role", role, "--email", f"{user}@truetape.invalid")
    return ("users", "create", *named, "--firstname", user.capitalize(), "--lastname", "truetape")


def _create(user: str, role: str, password: Secret) -> None:
    _airflow(*create_words(user, role), said=f"{password.reveal()}\n{password.reveal()}\n")


def _passwords(file: Path) -> dict[str, Secret]:
    found = secret_files.read(file)
    if found is None:
        raise ConfigError(f"no passwords in {file}; make them with: make env")
    known: dict[str, str] = json.loads(found.reveal())
    missing = [user for user in ROLES if user not in known]
    if missing:
        raise ConfigError(f"{file} has no password for {', '.join(missing)}; add one")
    return {user: Secret(known[user]) for user in ROLES}


def _airflow(*words: str, said: str = "") -> None:
    command: Sequence[str] = (sys.executable, "-m", "airflow", *words)
    done = subprocess.run(  # noqa: S603 - our own interpreter, no shell, words of this module
        command,
        input=said,
        text=True,
        timeout=_WITHIN_S,
        check=False,
        # without a terminal Airflow takes the password from its input
        start_new_session=True,
    )
    if done.returncode != 0:
        raise TransientError(f"airflow {' '.join(words[:2])} ended with {done.returncode}")
