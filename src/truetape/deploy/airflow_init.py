"""Set up Airflow's database and users through Airflow's own command line.

Does not import Airflow. Passwords go through standard input, since others can see a command line.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from truetape.host import secret_files
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Secret
from truetape.stack.airflow_config import passwords_of

ROLES = {"admin": "Admin", "operator": "Op", "viewer": "Viewer"}
"""Each user and its role in FAB, as `stack.airflow_config.USERS` has them in the simple manager."""
_WITHIN_S = 600.0


def prepare_airflow(passwords_file: Path, report: Callable[[str], None]) -> None:
    """Migrate the database and create missing users. Safe to repeat.

    An existing user keeps password and roles. Raise ConfigError if the password file is missing or
    incomplete, TransientError if Airflow's command ends with an error.
    """
    passwords = _passwords(passwords_file)
    _airflow("db", "migrate")
    report("the database is up to date")
    # FAB hides plugin pages from viewers, and the console is one
    _airflow("roles", "add-perms", "Viewer", "--resource", "Plugins", "--action", "can_read")
    for user, role in ROLES.items():
        _create(user, role, passwords[user])
        report(f"user {user} exists, role {role}")


def create_user_arguments(user: str, role: str) -> tuple[str, ...]:
    """Return the arguments that create a user; Airflow reads the password twice."""
    named = ("--username", user, "--role", role, "--email", f"{user}@truetape.invalid")
    return ("users", "create", *named, "--firstname", user.capitalize(), "--lastname", "truetape")


def _create(user: str, role: str, password: Secret) -> None:
    _airflow(
        *create_user_arguments(user, role), stdin=f"{password.reveal()}\n{password.reveal()}\n"
    )


def _passwords(file: Path) -> dict[str, Secret]:
    content = secret_files.read(file)
    if content is None:
        raise ConfigError(f"{file} does not exist; create it with: make env")
    passwords = passwords_of(content, file)
    missing = [user for user in ROLES if user not in passwords]
    if missing:
        raise ConfigError(f"{file} has no password for {', '.join(missing)}; add one")
    return {user: passwords[user] for user in ROLES}


def _airflow(*words: str, stdin: str = "") -> None:
    command: Sequence[str] = (sys.executable, "-m", "airflow", *words)
    done = subprocess.run(  # noqa: S603 - our own interpreter, no shell, words of this module
        command,
        input=stdin,
        text=True,
        timeout=_WITHIN_S,
        check=False,
        # without a terminal Airflow reads the password from standard input
        start_new_session=True,
    )
    if done.returncode != 0:
        raise TransientError(f"airflow {' '.join(words[:2])} ended with {done.returncode}")
