"""Whoever is not the user of a home reads nothing in it, whatever process wrote it."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.wait import until
from truetape.broker.offsets import end_offsets
from truetape.host.settings import Settings
from truetape.speed.heartbeat import lag, newest
from truetape.stack.server import free_port

pytestmark = [pytest.mark.real, pytest.mark.spark, pytest.mark.long]

DAY = "2026-11-20"
SESSION = ("--venue", "XNYS", "--session", DAY)
VERB_WITHIN_S = 600.0


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of an operator whose home exists, open to everybody, with a usual umask."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "logs").mkdir(mode=0o700)
    home.chmod(0o755)
    own = os.environ | {
        "TRUETAPE_HOME": str(home),
        "TRUETAPE_KAFKA": f"127.0.0.1:{free_port()}",
        "TRUETAPE_INFLUX_PORT": str(free_port()),
        "TRUETAPE_AIRFLOW": "False",
        "TRUETAPE_BUCKET_SET": "history",
        "TRUETAPE_SEAL_DELAY_S": "0",
    }
    yield own
    truetape(own, "stack", "down")


def truetape(env: dict[str, str], *words: str) -> str:
    """Run a verb as a person would, and return what it prints on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "truetape.cli.main", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=VERB_WITHIN_S,
        check=False,
        umask=0o022,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def serve_until_read(env: dict[str, str]) -> None:
    """Run a driver until it has read the topic, then end it."""
    settings = Settings.from_env(env)
    driver = subprocess.Popen(
        [sys.executable, "-m", "truetape.cli.main", "speed", "run"],
        env=env,
        start_new_session=True,
        umask=0o022,
    )

    def has_read() -> bool:
        assert driver.poll() is None
        beat = newest(settings.kafka, settings.topic)
        if beat is None or not beat.offsets:
            return False
        return not any(lag(end_offsets(settings.kafka, settings.topic), beat.offsets).values())

    try:
        until(has_read, 240)
    finally:
        driver.send_signal(signal.SIGTERM)
        driver.wait(120)


def open_to_others(home: Path) -> list[str]:
    """Return what others may read, write or enter in a home, with its mode."""
    modes = {path: path.lstat().st_mode for path in (home, *home.rglob("*"))}
    return [
        f"{stat.S_IMODE(mode):04o} {path.relative_to(home)}"
        for path, mode in modes.items()
        if mode & 0o077 and not stat.S_ISLNK(mode)
    ]


def test_everything_in_a_home_is_private_after_a_session_was_made_final(
    env: dict[str, str],
) -> None:
    home = Path(env["TRUETAPE_HOME"])

    assert "home_closed" in truetape(env, "stack", "up")
    truetape(env, "simulate", "--kafka", "--date", DAY, "--trades", "2000")
    serve_until_read(env)
    for words in (
        ("archive",),
        ("recompute", *SESSION),
        ("publish", *SESSION),
        ("backfill", "--holes", "--reason", "a test", "--apply"),
    ):
        assert "home_closed" not in truetape(env, *words)
    truetape(env, "stack", "down")  # else files come and go below
    for name in ("checkpoints", "influx", "kafka", "lake", "logs", "quality", "secrets"):
        assert list((home / name).rglob("*")), name
    assert open_to_others(home) == []
