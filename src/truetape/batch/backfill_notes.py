"""Stores the plans of running backfills: from before the ingestion until all sessions are final.

So the next backfill finishes one that was killed: once the records are in `raw`, only the plan says
which sessions they affect. One small file a plan. Does not ingest.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from truetape.batch.archive import checkpoint_for
from truetape.batch.backfill_plan import BackfillPlan
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

MAX_PROPOSED = 100
"""Most stored plans that nobody has ingested, about 10 KB each."""


@dataclass(frozen=True, slots=True)
class BackfillNotes:
    """The stored plans of one topic and lake."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> "BackfillNotes":
        """Return the stored plans of the settings' topic and lake."""
        return cls(settings.home / "backfills" / checkpoint_for(settings).name)

    def begin(self, backfill: BackfillPlan) -> None:
        """Store a plan as begun. Call it before the first row is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self._path(backfill), backfill)

    def propose(self, backfill: BackfillPlan) -> None:
        """Store a plan that may be ingested later; only the newest MAX_PROPOSED stay."""
        folder = self.folder / "proposed"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{backfill.plan.digest}.json", backfill)
        oldest = sorted(folder.glob("*.json"), key=_age)[:-MAX_PROPOSED]
        for path in oldest:
            path.unlink(missing_ok=True)

    def proposed(self, digest: str) -> BackfillPlan:
        """Return a proposed plan by its digest. Raise ConfigError if it is not stored any more."""
        path = self.folder / "proposed" / f"{digest}.json"
        if not re.fullmatch("[0-9a-f]{16}", digest) or not path.exists():
            raise ConfigError(f"no plan {digest!r} is stored; plan again")
        return _read(path)

    def finish(self, backfill: BackfillPlan) -> None:
        """Delete a begun plan whose sessions are all final."""
        self._path(backfill).unlink(missing_ok=True)

    def unfinished(self) -> list[BackfillPlan]:
        """Return the plans that were begun and not finished, oldest first."""
        return [_read(path) for path in sorted(self.folder.glob("*.json"), key=_age)]

    def _path(self, backfill: BackfillPlan) -> Path:
        return self.folder / f"{backfill.plan.digest}.json"


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _write(path: Path, backfill: BackfillPlan) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(backfill.to_dict(), indent=1))
    draft.replace(path)


def _read(path: Path) -> BackfillPlan:
    try:
        return BackfillPlan.from_dict(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: {error}; move it away and finalize its sessions") from error
