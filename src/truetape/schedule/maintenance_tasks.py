"""What the tasks of the nightly maintenance run: one call each. The work is done elsewhere."""

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from truetape.host.errors import TransientError
from truetape.host.private_home import current_settings

AIRFLOW_KEEPS = timedelta(days=30)
"""How long Airflow keeps runs; the archive alone makes 288 a day."""
_CLEAN_WITHIN_S = 1_800.0


def declared_buckets() -> list[str]:
    """Create or change buckets and roll-up tasks as declared; return the changes."""
    from truetape.serving.backends import open_store

    with closing(open_store(current_settings())) as store:
        return store.ensure_buckets() + store.ensure_rollups()


def audit_served() -> list[dict[str, Any]]:
    """Compare recent publications with the served rows; return the sessions that were rewritten."""
    from truetape.pipeline import audit

    sessions = audit.audit_served(current_settings(), datetime.now(UTC).date(), print)
    return [asdict(audited) | {"session": str(audited.session)} for audited in sessions]


def tidy_lake() -> list[dict[str, Any]]:
    """Compact and vacuum the lake; return the result of each table."""
    from truetape.lake.maintenance import compact_and_vacuum

    settings = current_settings()
    return [asdict(table) for table in compact_and_vacuum(settings.lake, settings.lake_keep_h)]


def clean_airflow(now: datetime | None = None) -> str:
    """Delete Airflow's runs older than `AIRFLOW_KEEPS`; return the cut-off time.

    Airflow blocks its database for tasks by two environment variables. Its own `db clean` must
    reach it, so these are removed and airflow.cfg decides.
    """
    limit = ((now or datetime.now(UTC)) - AIRFLOW_KEEPS).isoformat(timespec="seconds")
    blocked = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
    env = {name: os.environ[name] for name in os.environ if name not in blocked}
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", limit]
    done = subprocess.run(  # noqa: S603 - our own interpreter, no shell, our own date
        [*command, "--skip-archive", "--yes"],
        env=env,
        stdin=subprocess.DEVNULL,
        timeout=_CLEAN_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        raise TransientError(f"airflow db clean exited with {done.returncode}; see above")
    return limit
