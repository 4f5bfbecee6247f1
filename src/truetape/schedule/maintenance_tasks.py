"""What the tasks of the nightly upkeep run: one call each."""

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from truetape.host.errors import TransientError
from truetape.host.settings import Settings

AIRFLOW_KEEPS = timedelta(days=30)
"""How long Airflow remembers runs; the archive alone makes 288 a day."""
_CLEAN_WITHIN_S = 1_800.0


def declared_buckets() -> list[str]:
    """Bring buckets and roll-up tasks to what is declared; return what was changed."""
    from truetape.serving.backends import open_store

    with closing(open_store(Settings.from_env())) as store:
        return store.ensure_buckets() + store.ensure_rollups()


def audit_served() -> list[dict[str, Any]]:
    """Look at what was published lately; return each session with the rows written again."""
    from truetape.pipeline.audit import audit_served as keep

    found = keep(Settings.from_env(), datetime.now(UTC).date(), print)
    return [asdict(one) | {"session": str(one.session)} for one in found]


def tidy_lake() -> list[dict[str, Any]]:
    """Compact and vacuum the lake; return what was done to each table."""
    from truetape.lake.maintenance import tidy

    settings = Settings.from_env()
    return [asdict(one) for one in tidy(settings.lake, settings.lake_keep_h)]


def clean_airflow(now: datetime | None = None) -> str:
    """Forget Airflow's runs older than `AIRFLOW_KEEPS`; return the limit.

    Airflow keeps its tasks from its database by two variables; its own command is the one thing
    here that must reach it, by what airflow.cfg says.
    """
    limit = ((now or datetime.now(UTC)) - AIRFLOW_KEEPS).isoformat(timespec="seconds")
    blocked = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
    env = {name: os.environ[name] for name in os.environ if name not in blocked}
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", limit]
    done = subprocess.run(  # noqa: S603 - our own interpreter, no shell, a date of our own
        [*command, "--skip-archive", "--yes"],
        env=env,
        stdin=subprocess.DEVNULL,
        timeout=_CLEAN_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        raise TransientError(f"airflow db clean ended with {done.returncode}; see above")
    return limit
