"""A real Postgres for tests: Debian's, its data in a folder of its own, on a loopback port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.influxd import free_port
from support.wait import until

STARTED_WITHIN_S = 60.0


def binaries() -> Path | None:
    """Return the folder of the newest Postgres on this machine, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@contextmanager
def running(user: str, password_file: Path, database: str) -> Iterator[int]:
    """Start a new server with one user and one database; yield its port.

    It refuses to run as root, so root starts it as Debian's own user.
    """
    programs = binaries()
    assert programs, "no postgres; install it: make postgres"
    folder = Path(tempfile.mkdtemp(prefix="truetape-postgres-"))
    port, who = free_port(), "postgres" if os.getuid() == 0 else None
    try:
        password = folder / "password"
        shutil.copy(password_file, password)
        if who is not None:
            entry = pwd.getpwnam(who)
            for path in (folder, password):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        data, given = folder / "data", ("-U", user, "-A", "scram-sha-256", f"--pwfile={password}")
        _run([programs / "initdb", "-D", data, "--no-sync", *given], who, folder)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", data, "-p", str(port), "-k", folder),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                ],
                user=who,
                stdout=log,
                stderr=log,
            )
        try:
            ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
            until(lambda: subprocess.run(ready, check=False).returncode == 0, STARTED_WITHIN_S)
            _createdb(programs, user, password, port, database)
            yield port
        finally:
            server.terminate()
            server.wait(STARTED_WITHIN_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _createdb(programs: Path, user: str, password: Path, port: int, database: str) -> None:
    where = ["-h", "127.0.0.1", "-p", str(port), "-U", user, database]
    env = os.environ | {"PGPASSWORD": password.read_text().strip()}
    subprocess.run([programs / "createdb", *where], check=True, env=env, timeout=60)


def _run(words: list[object], who: str | None, folder: Path) -> None:
    done = subprocess.run(
        [str(word) for word in words], user=who, cwd=folder, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
