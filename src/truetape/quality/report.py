"""Reports: one JSON file a run, written whole or not at all. Imports nothing heavy: pages read it.

Kept under `quality/VENUE/SESSION/` and `quality/feed/` of the home, the newest `MAX_KEPT` of each.
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
from truetape.market.resolution import SECOND_NS
from truetape.quality.baselines import SymbolFacts
from truetape.quality.gate import Closed, Open, Verdict, decide
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity

FORMAT = 1
MAX_KEPT = 100
"""Reports kept of one session, and of the feeds: the newest."""


class Kind(StrEnum):
    """What was checked."""

    GATE = "gate"
    """A recomputed session, before its publication."""
    SERVED = "served"
    """A published session, as it is served."""
    FEED = "feed"
    """What the archive brought in."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found. `run` sorts by time; `venue` and `session` are None for feeds.

    `fingerprint` is that of all that a verdict rests on, so that it need not be found twice.
    `facts` serve later sessions, `offsets` the next look at the feeds.
    """

    run: str
    kind: Kind
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
        """Return what the results mean for the gate."""
        return decide(self.results)

    @property
    def is_open(self) -> bool:
        """Say whether no gate rule is broken."""
        return isinstance(self.verdict, Open)

    @property
    def checked_ns(self) -> int:
        """Return when the run began, to the microsecond."""
        moment = datetime.strptime(self.run[:21], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        return int(moment.timestamp()) * SECOND_NS + moment.microsecond * 1_000


def new_run(now_ns: int) -> str:
    """Return the name of a run that begins now: UTC to the microsecond, and a random end."""
    moment = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    micros = now_ns % SECOND_NS // 1_000
    return f"{moment:%Y%m%dT%H%M%S}{micros:06}-{secrets.token_hex(3)}"


def folder_of(home: Path, venue: str | None, session: date | None) -> Path:
    """Return where the reports of a session lie, or those of the feeds."""
    root = home / "quality"
    return root / "feed" if venue is None or session is None else root / venue / str(session)


def write(home: Path, report: Report) -> Path:
    """Write a report and return its file; removes reports beyond the `MAX_KEPT` newest."""
    folder = folder_of(home, report.venue, report.session)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.run}.json"
    unfinished = folder / f".{report.run}.new"
    unfinished.write_text(encode(report), encoding="utf-8")
    unfinished.replace(path)
    for old in sorted(folder.glob("*.json"), reverse=True)[MAX_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def path_of(home: Path, report: Report) -> Path:
    """Return the file that a report has, or would have."""
    return folder_of(home, report.venue, report.session) / f"{report.run}.json"


def newest(home: Path, kind: Kind, venue: str | None, session: date | None) -> Report | None:
    """Return the newest report of a kind, None where there is none."""
    folder = folder_of(home, venue, session)
    found = (read(path) for path in sorted(folder.glob("*.json"), reverse=True))
    return next((report for report in found if report.kind is kind), None)


def sessions(home: Path, venue: str, before: date | None = None) -> Iterator[date]:
    """Yield the sessions of a venue that have reports, the newest first."""
    for folder in sorted((home / "quality" / venue).glob("????-??-??"), reverse=True):
        day = date.fromisoformat(folder.name)
        if before is None or day < before:
            yield day


def refusal(home: Path, report: Report) -> str | None:
    """Say which gate rules do not hold, where their rows are and where to read on; None where all
    of them do.
    """
    match report.verdict:
        case Open():
            return None
        case Closed() as closed:
            about = f"{report.venue} {report.session}" if report.venue else "feeds"
            return (
                f"{about}: gate rules that do not hold: {closed.reason}; rows in "
                f'{path_of(home, report)}; see "Closed gate" in docs/RUNBOOK.md'
            )


def read(path: Path) -> Report:
    """Read a report; ConfigError where a file is none, or of another version of truetape."""
    try:
        return decode(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no quality report ({error}); move it away") from error


def encode(report: Report) -> str:
    """Return a report as JSON, with what a reader of the file asks first at its head."""
    verdict = report.verdict
    head = {
        "format": FORMAT,
        "verdict": "open" if isinstance(verdict, Open) else "closed",
        "closed_by": [] if isinstance(verdict, Open) else [one.rule for one in verdict.failing],
        "flags": [one.rule for one in verdict.flags],
    }
    content = head | asdict(report) | {"session": report.session and str(report.session)}
    return json.dumps(content, indent=1) + "\n"


def decode(text: str) -> Report:
    """Read what `encode` wrote; ValueError, KeyError or TypeError where it is something else."""
    content: dict[str, Any] = json.loads(text)
    if content.pop("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    for name in ("verdict", "closed_by", "flags"):
        del content[name]
    day = content["session"]
    return Report(
        **content
        | {
            "kind": Kind(content["kind"]),
            "session": None if day is None else date.fromisoformat(day),
            "results": tuple(_result(row) for row in content["results"]),
            "facts": {name: SymbolFacts(**fact) for name, fact in content["facts"].items()},
        }
    )


def _result(row: dict[str, Any]) -> RuleResult:
    return RuleResult(
        **row | {"severity": Severity(row["severity"]), "examples": tuple(row["examples"])}
    )
