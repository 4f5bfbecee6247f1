"""Reports: one JSON file a run, written atomically. Imports nothing heavy, because pages read them.

They are stored under `quality/VENUE/SESSION/` and `quality/feed/` of the home, the newest
`MAX_REPORTS` of each.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from truetape.host.errors import ConfigError
from truetape.host.state_files import JsonFile, of_type, write_text
from truetape.market.resolution import SECOND_NS
from truetape.quality.baselines import SymbolFacts
from truetape.quality.gate import Closed, Open, Verdict, decide
from truetape.quality.results import RuleResult

FORMAT = 1
MAX_REPORTS = 100
"""Number of reports that are stored for a session, and for the feeds."""


class ReportKind(StrEnum):
    """What was checked."""

    GATE = "gate"
    """A recomputed session, before its publication."""
    SERVED = "served"
    """The served bars of a published session."""
    FEED = "feed"
    """The records that the archive has added."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one run. `run` sorts by time; `venue` and `session` are None for feeds.

    `fingerprint` identifies everything that the verdict depends on, so that an unchanged session is
    not checked twice. Later sessions use `facts`, the next check of the feeds uses `offsets`.
    """

    run: str
    kind: ReportKind
    venue: str | None
    session: date | None
    results: tuple[RuleResult, ...]
    suites: Mapping[str, int]
    fingerprint: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mb: int = 0
    facts: Mapping[str, SymbolFacts] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Return the verdict of the gate."""
        return decide(self.results)

    @property
    def is_open(self) -> bool:
        """True if no gate rule is broken."""
        return isinstance(self.verdict, Open)

    @property
    def checked_ns(self) -> int:
        """Return when the run began, in epoch nanoseconds, to the microsecond."""
        moment = datetime.strptime(self.run[:21], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        return int(moment.timestamp()) * SECOND_NS + moment.microsecond * 1_000


def new_run(now_ns: int) -> str:
    """Return the name of a run that begins now: UTC to the microsecond and a random suffix."""
    moment = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    micros = now_ns % SECOND_NS // 1_000
    return f"{moment:%Y%m%dT%H%M%S}{micros:06}-{secrets.token_hex(3)}"


def folder_of(home: Path, venue: str | None, session: date | None) -> Path:
    """Return the folder of a session's reports, or of the reports about feeds."""
    root = home / "quality"
    return root / "feed" if venue is None or session is None else root / venue / str(session)


def write(home: Path, report: Report) -> Path:
    """Write a report and return its file. Delete all but the newest `MAX_REPORTS` reports."""
    folder = folder_of(home, report.venue, report.session)
    path = folder / f"{report.run}.json"
    write_text(path, encode(report))
    for old in sorted(folder.glob("*.json"), reverse=True)[MAX_REPORTS:]:
        old.unlink(missing_ok=True)
    return path


def path_of(home: Path, report: Report) -> Path:
    """Return the path of a report's file."""
    return folder_of(home, report.venue, report.session) / f"{report.run}.json"


def newest(home: Path, kind: ReportKind, venue: str | None, session: date | None) -> Report | None:
    """Return the newest report of a kind, None if there is none."""
    folder = folder_of(home, venue, session)
    stored = (read(path) for path in sorted(folder.glob("*.json"), reverse=True))
    return next((report for report in stored if report.kind is kind), None)


def sessions(home: Path, venue: str, before: date | None = None) -> Iterator[date]:
    """Yield the sessions of a venue that have reports, newest first."""
    for folder in sorted((home / "quality" / venue).glob("????-??-??"), reverse=True):
        day = date.fromisoformat(folder.name)
        if before is None or day < before:
            yield day


def refusal(home: Path, report: Report) -> str | None:
    """Return which gate rules are broken and where their rows are, None if the gate is open."""
    match report.verdict:
        case Open():
            return None
        case Closed() as closed:
            about = f"{report.venue} {report.session}" if report.venue else "feeds"
            return (
                f"{about}: broken gate rules: {closed.reason}; rows in "
                f'{path_of(home, report)}; see "Closed gate" in docs/RUNBOOK.md'
            )


def read(path: Path) -> Report:
    """Read a report. Raise ConfigError if the file is no report of this version of truetape."""
    report = REPORT.read(path)
    if report is None:
        raise ConfigError(f"{path} does not exist; it may have been deleted for newer reports")
    return report


def encode(report: Report) -> str:
    """Return a report as JSON. The verdict comes first, for people who open the file."""
    verdict = report.verdict
    head = {
        "format": FORMAT,
        "verdict": "open" if isinstance(verdict, Open) else "closed",
        "closed_by": []
        if isinstance(verdict, Open)
        else [result.rule for result in verdict.failing],
        "flags": [result.rule for result in verdict.flags],
    }
    content = head | asdict(report) | {"session": report.session and str(report.session)}
    return json.dumps(content, indent=1) + "\n"


def _report_of(content: Any) -> Report:
    """Build a report from the JSON of `encode`. Raise ValueError or the like for anything else."""
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']}, not {FORMAT}")
    report = of_type(Report)(content)
    _ = report.checked_ns  # the name of the run must have a time
    return report


REPORT = JsonFile("quality report", _report_of, "move it away")
