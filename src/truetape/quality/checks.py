"""Checking as single calls: read, build frames, ask Great Expectations, keep the report, say so.

Called by the command line, by `publish` and by the DAGs alike. The first call of a process takes
15 s longer than the others: that is the import of Great Expectations.
"""

import hashlib
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from truetape.host import profiles
from truetape.host.errors import GateClosedError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.sessions import Session
from truetape.quality import report as reports
from truetape.quality import trend
from truetape.quality.baselines import History, SymbolFacts
from truetape.quality.dag_runs import DagRun, note
from truetape.quality.frames import SuiteTable
from truetape.quality.gate import Closed, Open
from truetape.quality.metrics import points
from truetape.quality.report import Kind, Report
from truetape.quality.results import RuleResult
from truetape.quality.suite import Suite, load_suite
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

if TYPE_CHECKING:
    import pyarrow

    from truetape.quality.frames import Frame
    from truetape.quality.session_tables import SessionTables

GATE = (SuiteTable.TRADES, SuiteTable.BARS, SuiteTable.RECONCILIATION)
"""The suites that a session must pass before it is published, by table."""
MAX_FACTS = 5_000
"""Symbols that a report keeps facts of, those with most trades: half a megabyte."""

Progress = Callable[[str], None]


def check_session(
    settings: Settings,
    session: Session,
    progress: Progress = lambda _: None,
    of: DagRun | None = None,
) -> Report:
    """Check a recomputed session by all suites of the gate; keep the report and its metrics.

    Changes nothing that is served, and raises nothing for what it finds: `require_open` does. `of`
    is the run of a DAG that asks; its reports are noted.
    """
    from truetape.quality.session_tables import read_session

    clock = _Clock(progress, f"{session.venue} {session.date}")
    clock.step("read", "reading the session")
    fingerprint = _fingerprint(settings, session)  # before the rows: never that of newer ones
    tables = read_session(settings.lake, session)
    earlier = trend.history(trend.earlier_reports(settings.home, session.venue, session.date))
    with closing(open_store(settings)) as store:
        results: list[RuleResult] = []
        for suite in _suites(GATE):
            frames = _frames(settings, store, tables, earlier, suite.table)
            results += _validated(clock, suite, frames, _values(settings, tables))
        report = Report(
            run=clock.run,
            kind=Kind.GATE,
            venue=session.venue,
            session=session.date,
            results=tuple(_with_records(one, tables) for one in results),
            suites={suite.id: suite.version for suite in _suites(GATE)},
            fingerprint=fingerprint,
            rows={"trades": _rows(tables.trades), "bars": _rows(tables.bars)},
            facts=_facts(tables),
        )
        return _kept(settings, store, report, clock, of)


def require_open(
    settings: Settings,
    session: Session,
    progress: Progress = lambda _: None,
    of: DagRun | None = None,
) -> Report:
    """Return the report of an open gate; GateClosedError names rules, rows and the report's file.

    A verdict is good for the very files of the lake, suites and profile that it was found for: an
    earlier open one for these is taken as it is. A closed one is always looked at again.
    """
    last = reports.newest(settings.home, Kind.GATE, session.venue, session.date)
    if last and last.is_open and is_current(settings, session, last):
        progress(f"{session.venue} {session.date}: the gate is open since run {last.run}")
        _note(settings, of, last)
        return last
    report = check_session(settings, session, progress, of)
    match report.verdict:
        case Closed() as closed:
            raise GateClosedError(
                f"{session.venue} {session.date}: the gate is closed by {closed.reason}. Nothing "
                f"was published, what is served stays. {reports.path_of(settings.home, report)} "
                'has the rows; see "Closed gate" in docs/RUNBOOK.md'
            )
        case Open(flags):
            progress(f"{session.venue} {session.date}: the gate is open, {len(flags)} flags")
    return report


def is_current(settings: Settings, session: Session, report: Report) -> bool:
    """Say whether a verdict is about what the lake, the suites and the profile are now."""
    return report.fingerprint == _fingerprint(settings, session)


def check_served(
    settings: Settings,
    session: Session,
    progress: Progress = lambda _: None,
    of: DagRun | None = None,
) -> Report:
    """Check what is served of a published session; keep the report and its metrics.

    It is held against the recomputed bars, or against the rev that a revert has restored.
    """
    from truetape.publish.publication import next_rev
    from truetape.publish.revert import target_bars
    from truetape.quality.edit_frames import served_frames

    clock = _Clock(progress, f"{session.venue} {session.date}")
    clock.step("read", "reading the session")
    (suite,) = _suites((SuiteTable.SERVED,))
    with closing(open_store(settings)) as store:
        wanted = target_bars(settings.lake, store, session)
        frames = served_frames(wanted, store, next_rev(settings.lake, store, session))
        report = Report(
            run=clock.run,
            kind=Kind.SERVED,
            venue=session.venue,
            session=session.date,
            results=tuple(_validated(clock, suite, frames, {})),
            suites={suite.id: suite.version},
            rows={"bars": wanted.count},
        )
        return _kept(settings, store, report, clock, of)


def check_feed(
    settings: Settings, progress: Progress = lambda _: None, of: DagRun | None = None
) -> Report:
    """Check what the archive brought in since the last look, `MAX_RECORDS` of it at most.

    `rows` of the report says how many records were looked at, and how many are left.
    """
    from truetape.quality.feed_frames import feed_frames
    from truetape.quality.feed_tables import read_feed

    clock = _Clock(progress, f"feeds of {settings.topic}")
    clock.step("read", "reading what is new")
    last = reports.newest(settings.home, Kind.FEED, None, None)
    since = _since(last, settings.topic)
    tables = read_feed(settings.lake, settings.topic, settings.partitions, since)
    (suite,) = _suites((SuiteTable.FEED,))
    with closing(open_store(settings)) as store:
        report = Report(
            run=clock.run,
            kind=Kind.FEED,
            venue=None,
            session=None,
            results=tuple(_validated(clock, suite, feed_frames(tables), {})),
            suites={suite.id: suite.version},
            rows={"records": tables.records.num_rows, "left": tables.behind},
            offsets={f"{settings.topic}/{part}": end for part, end in tables.ends.items()},
        )
        return _kept(settings, store, report, clock, of)


def _since(last: Report | None, topic: str) -> dict[int, int]:
    found = {} if last is None else last.offsets
    places = ((key.rpartition("/"), end) for key, end in found.items())
    return {int(part): end for (name, _, part), end in places if name == topic}


def _frames(
    settings: Settings,
    store: BarStore,
    tables: "SessionTables",
    earlier: History,
    table: SuiteTable,
) -> "Iterable[Frame]":
    from truetape.lake.bars import recomputed
    from truetape.publish.publication import next_rev
    from truetape.quality.bar_frames import bar_frames
    from truetape.quality.edit_frames import reconciliation_frames
    from truetape.quality.trade_frames import trade_frames

    session = tables.session
    venue = venues()[session.venue]
    if table is SuiteTable.TRADES:
        return trade_frames(tables, venue, earlier, time.time_ns())
    if table is SuiteTable.BARS:
        return bar_frames(tables, venue, earlier)
    if tables.bars is None:
        return ()
    profile = profiles.load(settings.profile)
    rev = next_rev(settings.lake, store, session)
    return reconciliation_frames(
        recomputed(settings.lake, session), store, rev, f"{profile.id} {profile.version}"
    )


def _values(settings: Settings, tables: "SessionTables") -> dict[str, int]:
    """What the `$names` of suites stand for."""
    from truetape.quality.trade_frames import newest_receipt_ns

    slack_ns = settings.future_slack_ms * 1_000_000
    newest_ns = 0 if tables.trades is None else newest_receipt_ns(tables.trades)
    return {
        "session_start_ns": tables.session.start_ns,
        "session_end_ns": tables.session.end_ns,
        "future_slack_ns": slack_ns,
        "newest_event_ns": newest_ns + slack_ns,
    }


def _validated(
    clock: "_Clock", suite: Suite, frames: "Iterable[Frame]", values: Mapping[str, int]
) -> list[RuleResult]:
    clock.step("load", "loading Great Expectations, about 15 s in a new process")
    from truetape.quality import expectations

    expectations.load()
    clock.step(suite.id, f"checking {suite.about}")
    return expectations.validate(suite, frames, values)


def _with_records(result: RuleResult, tables: "SessionTables") -> RuleResult:
    """Add to rows that are bars the Kafka records of their first and last trade."""
    from truetape.quality.bar_frames import located

    if tables.trades is None or not result.examples:
        return result
    examples = tuple(located(example, tables.trades) for example in result.examples)
    return replace(result, examples=examples)


def _facts(tables: "SessionTables") -> dict[str, SymbolFacts]:
    from truetape.quality.bar_frames import facts_of

    busiest = sorted(facts_of(tables).items(), key=lambda item: -item[1].trades)
    return dict(busiest[:MAX_FACTS])


def _fingerprint(settings: Settings, session: Session) -> str:
    """A digest of all that a verdict rests on, but for what is served and what is archived."""
    from truetape.quality.session_tables import fingerprint

    profile = profiles.load(settings.profile)
    parts = [
        fingerprint(settings.lake, session),
        *(suite.digest for suite in _suites(GATE)),
        f"{profile.id} {profile.version} {settings.future_slack_ms}",
        f"{settings.store} {settings.bucket_set}",
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _suites(tables: Iterable[SuiteTable]) -> list[Suite]:
    return [load_suite(table) for table in tables]


def _kept(
    settings: Settings, store: BarStore, report: Report, clock: "_Clock", of: DagRun | None
) -> Report:
    """Write the report, then its metrics; the report stays where the metrics cannot be written."""
    clock.stop()
    whole = replace(report, seconds=clock.seconds, peak_mb=_peak_mb())
    path = reports.write(settings.home, whole)
    _note(settings, of, whole)
    broken = [one.rule for one in whole.results if not one.passed]
    logger("quality").info(
        "checked", kind=str(whole.kind), broken=broken, seconds=sum(clock.seconds.values()),
        peak_mb=whole.peak_mb, report=str(path),
    )  # fmt: skip
    store.write_points(points(whole)).require_stored("metrics", f"{path} is kept without them")
    return whole


def _note(settings: Settings, of: DagRun | None, report: Report) -> None:
    if of is not None:
        note(settings.home, of, report)


def _rows(table: "pyarrow.Table | None") -> int:
    return 0 if table is None else table.num_rows


def _peak_mb() -> int:
    """The most memory that this process has had, in MB; Linux counts in kibibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 // 1_000_000


class _Clock:
    """Tells each step when it begins, and how long it took."""

    def __init__(self, progress: Progress, label: str) -> None:
        self.run = reports.new_run(time.time_ns())
        self.seconds: dict[str, float] = {}
        self._progress, self._label = progress, label
        self._step, self._began = "", 0.0

    def step(self, name: str, told: str) -> None:
        """End the step before and begin one."""
        self.stop()
        if name not in self.seconds:
            self._progress(f"{self._label}: {told}")
        self._step, self._began = name, time.monotonic()

    def stop(self) -> None:
        """End the step."""
        if self._step:
            spent = self.seconds.get(self._step, 0.0) + time.monotonic() - self._began
            self.seconds[self._step] = round(spent, 3)
        self._step = ""
