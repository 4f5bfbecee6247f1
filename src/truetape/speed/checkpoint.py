"""The checkpoint of the streaming query: where it is, which plan it belongs to, how far it got."""

import json
from pathlib import Path

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

LAYOUT = 1
"""Raised whenever the plan changes what the state holds; an older checkpoint is then refused."""


def checkpoint_for(settings: Settings) -> Path:
    """Return the checkpoint folder; ConfigError when it belongs to another plan."""
    folder = settings.home / "checkpoints" / f"speed-{settings.topic}-{settings.profile}"
    layout = {
        "layout": LAYOUT,
        "profile": settings.profile,
        "shuffle_partitions": settings.speed_shuffle_partitions,
        "lateness_s": settings.speed_lateness_s,
    }
    marker = folder.with_suffix(".json")
    if marker.exists():
        found = json.loads(marker.read_text())
        if found != layout:
            raise ConfigError(
                f"checkpoint {folder.name} was written for {found}, this is {layout}; "
                'see "incompatible checkpoint" in docs/RUNBOOK.md'
            )
    else:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(layout))
    return folder


def first_batch(folder: Path) -> int:
    """Return the batch that a query on this checkpoint begins with: the first that is not done."""
    return 1 + max((int(path.name) for path in (folder / "commits").glob("[0-9]*")), default=-1)


def read_to(folder: Path, topic: str) -> dict[str, int]:
    """Return the next offset of each partition after the last batch that is done, if any.

    A batch's file in Spark's offset log has a version, a line of metadata and one line a source:
    here {"topic": {"partition": offset}}.
    """
    done = first_batch(folder) - 1
    if done < 0:
        return {}
    lines = (folder / "offsets" / str(done)).read_text().splitlines()
    partitions: dict[str, int] = json.loads(lines[-1])[topic]
    return partitions
