"""Which reports the tasks of a DAG run made, or took as they were. Imports nothing heavy.

One small file a report, under `quality/runs/` of the home: tasks of a run may work side by side,
and none has to change what another wrote. A name holds a digest of the run's: ids are free text.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from truetape.host.errors import ConfigError
from truetape.quality import report as reports
from truetape.quality.report import Report

MAX_KEPT = 5_000
"""Notes kept, the newest: two weeks of looks at the feeds, one every five minutes."""


@dataclass(frozen=True, slots=True)
class DagRun:
    """One run of a DAG, by Airflow's own names."""

    dag: str
    run: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A report that a run has asked for: where it lies, even when it is there no longer."""

    venue: str | None
    session: date | None
    run: str

    def path(self, home: Path) -> Path:
        """Return the file of the report."""
        return reports.folder_of(home, self.venue, self.session) / f"{self.run}.json"


def note(home: Path, of: DagRun, report: Report) -> None:
    """Note that a run has a report; removes notes beyond the `MAX_KEPT` newest.

    Safe to repeat: a report that is noted twice is listed once.
    """
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{reports.new_run(time.time_ns())}.{_digest(of)}"
    content = {
        "venue": report.venue,
        "session": report.session and str(report.session),
        "run": report.run,
    }
    unfinished = folder / f".{name}.new"
    unfinished.write_text(json.dumps(content) + "\n", encoding="utf-8")
    unfinished.replace(folder / f"{name}.json")
    for old in sorted(folder.glob("*.json"), reverse=True)[MAX_KEPT:]:
        old.unlink(missing_ok=True)


def noted(home: Path, of: DagRun) -> tuple[Noted, ...]:
    """Return the reports of a run, each once, the first first; ConfigError for a broken note."""
    return tuple(dict.fromkeys(_read(home, of)))


def _read(home: Path, of: DagRun) -> Iterator[Noted]:
    for path in sorted(_folder(home).glob(f"*.{_digest(of)}.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            day = content["session"]
            session = None if day is None else date.fromisoformat(day)
            yield Noted(content["venue"], session, content["run"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is no note of a report ({error}); move it away") from error


def _folder(home: Path) -> Path:
    return home / "quality" / "runs"


def _digest(of: DagRun) -> str:
    return hashlib.sha256(f"{of.dag}\0{of.run}".encode(errors="replace")).hexdigest()
