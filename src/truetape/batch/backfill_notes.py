"""Notes of backfills under way: a plan is noted before it is ingested, and forgotten when all of
its sessions are settled.

So that a backfill killed in between is finished by the next one: once its records are in `raw`,
nothing there tells any more which sessions they touched. One small file a plan.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from truetape.batch.archive import checkpoint_for
from truetape.batch.backfill_plan import BackfillPlan
from truetape.errors import ConfigError
from truetape.settings import Settings


@dataclass(frozen=True, slots=True)
class Notes:
    """The plans under way of one topic and lake."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> "Notes":
        """Return the notes of these settings' topic and lake."""
        return cls(settings.home / "backfills" / checkpoint_for(settings).name)

    def begin(self, backfill: BackfillPlan) -> None:
        """Note a plan, before the first row is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(backfill)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(backfill.to_dict(), indent=1))
        draft.replace(path)

    def finish(self, backfill: BackfillPlan) -> None:
        """Forget a plan, when nothing of it is left to do."""
        self._path(backfill).unlink(missing_ok=True)

    def unfinished(self) -> list[BackfillPlan]:
        """Return the plans that were begun and not finished, oldest first."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [_read(path) for path in paths]

    def _path(self, backfill: BackfillPlan) -> Path:
        return self.folder / f"{backfill.plan.digest}.json"


def _read(path: Path) -> BackfillPlan:
    try:
        return BackfillPlan.from_dict(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: {error}; move it away and settle its sessions") from error
