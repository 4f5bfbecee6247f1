"""How far the streaming query has got: by its checkpoint on disk, and by Spark's reports.

Does not import Spark.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.state_files import JsonFile, write_json
from truetape.speed.checkpoint import (
    Role,
    damage_in,
    error_of,
    last_committed,
    offsets_of,
    require_whole,
    watermark_of,
)

CLOCK_NOISE = timedelta(seconds=5)
"""By how much the clocks of two machines may differ before something is wrong."""
LAYOUT = 1
"""Raise it whenever the plan changes what the state holds; an older checkpoint is then refused."""


CURES = {
    Role.PLAN: "remove it: its batch is not committed and is planned again, so nothing is lost",
    Role.COMMIT: "remove it: its batch runs again and writes the same bars, so nothing is lost",
    Role.OTHER: 'start over as under "Incompatible checkpoint"',
}


def _layout_of(content: Any) -> dict[str, Any]:
    if not {"layout", "profile"} <= content.keys():
        raise ValueError("it names no layout and no profile")
    return dict(content)


_MARKER = JsonFile(
    "marker of a checkpoint",
    _layout_of,
    "remove it if no setting of the speed layer changed since the checkpoint was made, else start "
    'over as under "Incompatible checkpoint"',
)


def checkpoint_for(settings: Settings) -> Path:
    """Return the checkpoint folder. Raise ConfigError if it belongs to another plan."""
    folder = settings.home / "checkpoints" / f"speed-{settings.topic}-{settings.profile}"
    layout = {
        "layout": LAYOUT,
        "profile": settings.profile,
        "shuffle_partitions": settings.speed_shuffle_partitions,
        "lateness_s": settings.speed_lateness_s,
    }
    marker = folder.with_name(f"{folder.name}.json")
    written = _MARKER.read(marker)
    if written is None:
        write_json(marker, layout)
    elif written != layout:
        raise ConfigError(
            f"checkpoint {folder.name} was written for {written}, this is {layout}; "
            'see "incompatible checkpoint" in docs/RUNBOOK.md'
        )
    return folder


def require_whole_checkpoint(settings: Settings) -> None:
    """Raise ConfigError if the checkpoint belongs to another plan, or a file of it is damaged."""
    require_whole(checkpoint_for(settings), CURES)


def damage_error(settings: Settings, text: str) -> ConfigError | None:
    """Return the error about the checkpoint's file that Spark could not read, by Spark's own error.

    None if that error is another one.
    """
    damage = damage_in(text, checkpoint_for(settings))
    return None if damage is None else error_of(damage, CURES)


def first_batch(folder: Path) -> int:
    """Return the first batch that is not committed: a query on this checkpoint begins with it."""
    return 1 + last_committed(folder)


def committed_offsets(folder: Path, topic: str) -> dict[str, int]:
    """Return the next offset of each partition after the last committed batch, if there is one."""
    batch = last_committed(folder)
    return {} if batch < 0 else offsets_of(folder, batch, topic)


def watermark(folder: Path) -> datetime:
    """Return the watermark after the last committed batch; 1970 before the first one."""
    batch = last_committed(folder)
    return datetime.fromtimestamp(0, UTC) if batch < 0 else watermark_of(folder, batch)


def require_watermark(folder: Path, now: datetime) -> None:
    """Raise ConfigError if the watermark of a checkpoint lies beyond the clock.

    The query would count every trade before it as late, and serve no bar.
    """
    stored = watermark(folder)
    if stored > now + CLOCK_NOISE:
        raise ConfigError(
            f"checkpoint {folder.name} has the watermark {stored:%Y-%m-%dT%H:%M:%SZ}, but it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}: every trade before the watermark would count as late and "
            'no bar would be served; see "Watermark beyond the clock" in docs/RUNBOOK.md'
        )


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
