"""How far the streaming query has got: by its checkpoint on disk, and by Spark's reports.

Does not import Spark.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

LAYOUT = 1
"""Raise it whenever the plan changes what the state holds; an older checkpoint is then refused."""


def checkpoint_for(settings: Settings) -> Path:
    """Return the checkpoint folder. Raise ConfigError if it belongs to another plan."""
    folder = settings.home / "checkpoints" / f"speed-{settings.topic}-{settings.profile}"
    layout = {
        "layout": LAYOUT,
        "profile": settings.profile,
        "shuffle_partitions": settings.speed_shuffle_partitions,
        "lateness_s": settings.speed_lateness_s,
    }
    marker = folder.with_suffix(".json")
    if marker.exists():
        written = json.loads(marker.read_text())
        if written != layout:
            raise ConfigError(
                f"checkpoint {folder.name} was written for {written}, this is {layout}; "
                'see "incompatible checkpoint" in docs/RUNBOOK.md'
            )
    else:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(layout))
    return folder


def first_batch(folder: Path) -> int:
    """Return the first batch that is not committed: a query on this checkpoint begins with it."""
    return 1 + max((int(path.name) for path in (folder / "commits").glob("[0-9]*")), default=-1)


def committed_offsets(folder: Path, topic: str) -> dict[str, int]:
    """Return the next offset of each partition after the last committed batch, if there is one.

    A batch's file in Spark's offset log has a version, a line of metadata and one line a source:
    here {"topic": {"partition": offset}}.
    """
    batch = first_batch(folder) - 1
    if batch < 0:
        return {}
    lines = (folder / "offsets" / str(batch)).read_text().splitlines()
    partitions: dict[str, int] = json.loads(lines[-1])[topic]
    return partitions


@dataclass(frozen=True, slots=True)
class Progress:
    """The last finished batch; `offsets` are the next ones to read, by partition."""

    batch: int = -1
    batch_end_ns: int = 0
    rows_per_s: float = 0.0
    offsets: Mapping[str, int] | None = None
    watermark: str = ""

    @classmethod
    def of(cls, report: Mapping[str, Any] | None) -> "Progress":
        """Read `query.lastProgress`; before the first batch nothing is known."""
        if not report or not report.get("sources"):
            return cls()
        began = datetime.fromisoformat(report["timestamp"]).timestamp()
        took_ms = (report.get("durationMs") or {}).get("triggerExecution", 0)
        return cls(
            batch=int(report["batchId"]),
            batch_end_ns=int((began + took_ms / 1_000) * 1e9),
            rows_per_s=float(report.get("processedRowsPerSecond") or 0.0),
            offsets=_offsets(report["sources"][0].get("endOffset")),
            watermark=str(report.get("eventTime", {}).get("watermark", "")),
        )


def _offsets(reported: Any) -> dict[str, int]:
    """Read offsets as Spark reports them: an object, or its text."""
    parsed = json.loads(reported) if isinstance(reported, str) else reported
    topics: Mapping[str, Mapping[str, Any]] = parsed or {}
    return {
        part: int(offset) for partitions in topics.values() for part, offset in partitions.items()
    }
