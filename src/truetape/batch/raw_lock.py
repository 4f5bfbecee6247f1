"""The lock under which one home writes `raw`, and the name of what it keeps about a lake."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from truetape.host.locks import exclusive
from truetape.host.settings import Settings

RAW_WAIT_S = 1_800.0
"""How long an archive waits for a running backfill to end, and the reverse."""


def ingest_name(settings: Settings) -> str:
    """Return the name of what a home keeps about the settings' topic and lake."""
    lake = hashlib.sha256(settings.lake.encode()).hexdigest()[:8]
    return f"archive-{settings.topic}-{lake}"


@contextmanager
def raw_lock(settings: Settings, report: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock under which the archive or a backfill of one home writes `raw`. Only one of
    them may write at a time. Raise TransientError after RAW_WAIT_S seconds.
    """
    lock = settings.home / "checkpoints" / f"{ingest_name(settings)}.lock"
    with exclusive(lock, wait_s=RAW_WAIT_S, report=report):
        yield
