"""Notes of backfills under way: a plan is noted before it is ingested, and forgotten when all of
its sessions are settled.

So that a backfill killed in between is finished by the next one: once its records are in `raw`,
nothing there tells any more which sessions they touched. One small file a plan.
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
"""Plans that nobody carried out and that are still kept, about 10 KB each."""


@dataclass(frozen=True, slots=True)
class BackfillNotes:
    """The plans under way of one topic and lake."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> "BackfillNotes":
        """Return the notes of these settings' topic and lake."""
        return cls(settings.home / "backfills" / checkpoint_for(settings).name)

    def begin(self, backfill: BackfillPlan) -> None:
        """Note a plan, before the first row is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self._path(backfill), backfill)

    def propose(self, backfill: BackfillPlan) -> None:
        """Keep a plan that may be carried out later; the newest MAX_PROPOSED are kept."""
        folder = self.folder / "proposed"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{backfill.plan.digest}.json", backfill)
        oldest = sorted(folder.glob("*.json"), key=_age)[:-MAX_PROPOSED]
        for path in oldest:
            path.unlink(missing_ok=True)

    def proposed(self, digest: str) -> BackfillPlan:
        """Return a plan that was proposed; ConfigError when it is not kept any more."""
        path = self.folder / "proposed" / f"{digest}.json"
        if not re.fullmatch("[0-9a-f]{16}", digest) or not path.exists():
            raise ConfigError(f"no plan {digest!r} is kept; plan again")
        return _read(path)

    def finish(self, backfill: BackfillPlan) -> None:
        """Forget a plan, when nothing of it is left to do."""
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
        raise ConfigError(f"{path}: {error}; move it away and settle its sessions") from error
