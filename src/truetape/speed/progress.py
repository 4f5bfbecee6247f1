"""What Spark reports of a streaming query, in the terms of a heartbeat. Asks Spark nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """What Spark last reported of a finished batch; offsets are the next ones to be read."""

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
    found = json.loads(reported) if isinstance(reported, str) else reported
    topics: Mapping[str, Mapping[str, Any]] = found or {}
    return {
        part: int(offset) for partitions in topics.values() for part, offset in partitions.items()
    }
