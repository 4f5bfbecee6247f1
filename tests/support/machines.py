"""How properties and state machines run: few examples by default, thousands on demand."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

FAST_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own in it
"""A folder in memory, where thousands of small tables are written fast; None without one."""


def examples(few: int) -> settings:
    """Try `few` examples, or as many as TRUETAPE_EXAMPLES says: thousands by `make schedules`."""
    return settings(max_examples=int(os.environ.get("TRUETAPE_EXAMPLES", few)))


def schedules(few: int, steps: int) -> settings:
    """Try `few` schedules, or as many as TRUETAPE_SCHEDULES says: thousands by `make schedules`."""
    return settings(
        max_examples=int(os.environ.get("TRUETAPE_SCHEDULES", few)),
        stateful_step_count=steps,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
