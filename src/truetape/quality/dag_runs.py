"""Which reports the tasks of a DAG run wrote or reused. Imports nothing heavy.

There is one small file a report, under `quality/runs/` of the home, so that parallel tasks of a run
never change each other's files. File names contain a digest of the run id, which is free text.
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

MAX_ENTRIES = 5_000
"""Number of entries that are stored: two weeks of checks of the feeds, one every five minutes."""


@dataclass(frozen=True, slots=True)
class DagRun:
    """One run of a DAG, by Airflow's own names."""

    dag: str
    run: str


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """A report of a DAG run. Its file may have been deleted since."""

    venue: str | None
    session: date | None
    run: str

    def path(self, home: Path) -> Path:
        """Return the file of the report."""
        return reports.folder_of(home, self.venue, self.session) / f"{self.run}.json"


def record_report(home: Path, of: DagRun, report: Report) -> None:
    """Record a report of a DAG run. Delete all but the newest `MAX_ENTRIES` entries.

    Safe to repeat: a report that is recorded twice is listed once.
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
    for old in sorted(folder.glob("*.json"), reverse=True)[MAX_ENTRIES:]:
        old.unlink(missing_ok=True)


def reports_of(home: Path, of: DagRun) -> tuple[ReportEntry, ...]:
    """Return the reports of a run, each once, oldest first. Raise ConfigError for a bad entry."""
    return tuple(dict.fromkeys(_read(home, of)))


def _read(home: Path, of: DagRun) -> Iterator[ReportEntry]:
    for path in sorted(_folder(home).glob(f"*.{_digest(of)}.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            day = content["session"]
            session = None if day is None else date.fromisoformat(day)
            yield ReportEntry(content["venue"], session, content["run"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is no entry of a report ({error}); move it away") from error


def _folder(home: Path) -> Path:
    return home / "quality" / "runs"


def _digest(of: DagRun) -> str:
    return hashlib.sha256(f"{of.dag}\0{of.run}".encode(errors="replace")).hexdigest()
