"""Which reports the tasks of a DAG run wrote or reused. Imports nothing heavy.

There is one small file a report, under `quality/runs/` of the home, so that parallel tasks of a run
never change each other's files. File names contain a digest of the run id, which is free text.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from truetape.host.state_files import JsonFile, of_type, write_json
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


ENTRY = JsonFile("entry of a report", of_type(ReportEntry), "move it away")


def record_report(home: Path, of: DagRun, report: Report) -> None:
    """Record a report of a DAG run. Delete all but the newest `MAX_ENTRIES` entries.

    Safe to repeat: a report that is recorded twice is listed once.
    """
    folder = _folder(home)
    name = f"{reports.new_run(time.time_ns())}.{_digest(of)}"
    content = {
        "venue": report.venue,
        "session": report.session and str(report.session),
        "run": report.run,
    }
    write_json(folder / f"{name}.json", content)
    for old in sorted(folder.glob("*.json"), reverse=True)[MAX_ENTRIES:]:
        old.unlink(missing_ok=True)


def reports_of(home: Path, of: DagRun) -> tuple[ReportEntry, ...]:
    """Return the reports of a run, each once, oldest first. Raise ConfigError for a bad entry."""
    return tuple(dict.fromkeys(_read(home, of)))


def _read(home: Path, of: DagRun) -> Iterator[ReportEntry]:
    for path in sorted(_folder(home).glob(f"*.{_digest(of)}.json")):
        entry = ENTRY.read(path)
        if entry is not None:  # it may be deleted meanwhile
            yield entry


def _folder(home: Path) -> Path:
    return home / "quality" / "runs"


def _digest(of: DagRun) -> str:
    return hashlib.sha256(f"{of.dag}\0{of.run}".encode(errors="replace")).hexdigest()
