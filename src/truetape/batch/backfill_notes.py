"""Stores the plans of running backfills: from before the ingestion until all sessions are final.

So the next backfill finishes one that was killed: once the records are in `raw`, only the plan says
which sessions they affect. One small file a plan. Does not ingest.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from truetape.batch.backfill_plan import BackfillPlan
from truetape.batch.raw_lock import ingest_name
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.state_files import JsonFile, write_json

MAX_PROPOSED = 100
"""Most stored plans that nobody has ingested, about 10 KB each."""
PROPOSED = JsonFile("backfill plan", BackfillPlan.from_dict, "remove it and plan again")
BEGUN = JsonFile(
    "backfill plan", BackfillPlan.from_dict, "move it away and finalize its sessions by hand"
)


@dataclass(frozen=True, slots=True)
class BackfillNotes:
    """The stored plans of one topic and lake."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> "BackfillNotes":
        """Return the stored plans of the settings' topic and lake."""
        return cls(settings.home / "backfills" / ingest_name(settings))

    def begin(self, backfill: BackfillPlan) -> None:
        """Store a plan as begun. Call it before the first row is written."""
        write_json(self._path(backfill), backfill.to_dict())

    def propose(self, backfill: BackfillPlan) -> None:
        """Store a plan that may be ingested later; only the newest MAX_PROPOSED stay."""
        folder = self.folder / "proposed"
        write_json(folder / f"{backfill.plan.digest}.json", backfill.to_dict())
        oldest = sorted(folder.glob("*.json"), key=_age)[:-MAX_PROPOSED]
        for path in oldest:
            path.unlink(missing_ok=True)

    def proposed(self, digest: str) -> BackfillPlan:
        """Return a proposed plan by its digest. Raise ConfigError if it is not stored any more."""
        path = self.folder / "proposed" / f"{digest}.json"
        stored = PROPOSED.read(path) if re.fullmatch("[0-9a-f]{16}", digest) else None
        if stored is None:
            raise ConfigError(f"no plan {digest!r} is stored; plan again")
        return stored

    def finish(self, backfill: BackfillPlan) -> None:
        """Delete a begun plan whose sessions are all final."""
        self._path(backfill).unlink(missing_ok=True)

    def unfinished(self) -> list[BackfillPlan]:
        """Return the plans that were begun and not finished, oldest first."""
        read = [BEGUN.read(path) for path in sorted(self.folder.glob("*.json"), key=_age)]
        return [stored for stored in read if stored is not None]

    def _path(self, backfill: BackfillPlan) -> Path:
        return self.folder / f"{backfill.plan.digest}.json"


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns
