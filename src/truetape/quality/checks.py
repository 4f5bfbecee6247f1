"""The checks as single calls: read, build frames, run Great Expectations, write the report.

The command line, the pipeline and the DAGs call these. The first call in a process takes 2 s
longer than the next ones, because it imports Great Expectations.
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
from truetape.quality.dag_runs import DagRun, record_report
from truetape.quality.frames import SuiteTable
from truetape.quality.gate import Closed, Open
from truetape.quality.metrics import points
from truetape.quality.report import Report, ReportKind
from truetape.quality.results import RuleResult
from truetape.quality.suite import Suite, load_suite
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore

if TYPE_CHECKING:
    import pyarrow

    from truetape.quality.frames import Frame
    from truetape.quality.session_tables import SessionTables

GATE = (SuiteTable.TRADES, SuiteTable.BARS, SuiteTable.RECONCILIATION)
"""The suites that a session must pass before it is published."""
MAX_FACTS = 5_000
"""A report stores facts about this many symbols at most, the busiest ones: half a megabyte."""

Progress = Callable[[str], None]


def check_session(
    settings: Settings,
    session: Session,
    progress: Progress = lambda _: None,
    of: DagRun | None = None,
) -> Report:
    """Check a recomputed session with all suites of the gate; write the report and its metrics.

    Changes no served bar. Broken rules raise no error here, but in `require_open`. `of` is the DAG
    run that asks; the report is recorded as one of its reports.
    """
    from truetape.quality.session_tables import read_session

    clock = _Clock(progress, f"{session.venue} {session.date}")
    clock.step("read", "reading the session")
    fingerprint = _fingerprint(settings, session)  # before the rows, so it is never newer
    tables = read_session(settings.lake, session)
    earlier = trend.history(trend.earlier_reports(settings.home, session.venue, session.date))
    with closing(open_store(settings)) as store:
        results: list[RuleResult] = []
        for suite in _suites(GATE):
            frames = _frames(settings, store, tables, earlier, suite.table)
            results += _validated(clock, suite, frames, _values(settings, tables))
        report = Report(
            run=clock.run,
            kind=ReportKind.GATE,
            venue=session.venue,
            session=session.date,
            results=tuple(_with_records(result, tables) for result in results),
            suites={suite.id: suite.version for suite in _suites(GATE)},
            fingerprint=fingerprint,
            rows={"trades": _rows(tables.trades), "bars": _rows(tables.bars)},
            facts=_facts(tables),
        )
        return _write(settings, store, report, clock, of)


def require_open(
    settings: Settings,
    session: Session,
    progress: Progress = lambda _: None,
    of: DagRun | None = None,
) -> Report:
    """Return the report of an open gate. Raise GateClosedError, which names rules, rows and file.

    A verdict is valid for exactly the lake files, suites and profile that were checked. An earlier
    open verdict about the same ones is reused. After a closed verdict the session is checked again.
    """
    last = reports.newest(settings.home, ReportKind.GATE, session.venue, session.date)
    if last and last.is_open and is_current(settings, session, last):
        progress(f"{session.venue} {session.date}: the gate is open since run {last.run}")
        _note(settings, of, last)
        return last
    report = check_session(settings, session, progress, of)
    match report.verdict:
        case Closed() as closed:
            raise GateClosedError(
                f"{session.venue} {session.date}: the gate is closed by {closed.reason}. Nothing "
                "was published; the served bars are unchanged. Rows: "
                f"{reports.path_of(settings.home, report)}; "
                'see "Closed gate" in docs/RUNBOOK.md'
            )
        case Open(flags):
            progress(f"{session.venue} {session.date}: the gate is open, {len(flags)} flags")
    return report


def closed_by(settings: Settings, session: Session) -> str | None:
    """Return the rules by which the gate closed on the present bars; None if it did not."""
    last = reports.newest(settings.home, ReportKind.GATE, session.venue, session.date)
    if last is None or not is_current(settings, session, last):
        return None
    match last.verdict:
        case Closed() as closed:
            return closed.reason
    return None


def is_current(settings: Settings, session: Session, report: Report) -> bool:
    """True if the lake, the suites and the profile are still those that the report is about."""
    return report.fingerprint == _fingerprint(settings, session)


def check_served(
    settings: Settings,
    session: Session,
    progress: Progress = lambda _: None,
    of: DagRun | None = None,
) -> Report:
    """Check the served bars of a published session; write the report and its metrics.

    They are compared with the recomputed bars, or with the rev that a revert has restored.
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
            kind=ReportKind.SERVED,
            venue=session.venue,
            session=session.date,
            results=tuple(_validated(clock, suite, frames, {})),
            suites={suite.id: suite.version},
            rows={"bars": wanted.count},
        )
        return _write(settings, store, report, clock, of)


def check_feed(
    settings: Settings, progress: Progress = lambda _: None, of: DagRun | None = None
) -> Report:
    """Check the records archived since the last check, `MAX_RECORDS` at most.

    The report's `rows` say how many records were checked, and how many are left.
    """
    from truetape.quality.feed_frames import feed_frames
    from truetape.quality.feed_tables import read_feed

    clock = _Clock(progress, f"feeds of {settings.topic}")
    clock.step("read", "reading the new records")
    last = reports.newest(settings.home, ReportKind.FEED, None, None)
    since = _since(last)
    tables = read_feed(settings.lake, settings.topic, settings.partitions, since)
    (suite,) = _suites((SuiteTable.FEED,))
    with closing(open_store(settings)) as store:
        report = Report(
            run=clock.run,
            kind=ReportKind.FEED,
            venue=None,
            session=None,
            results=tuple(_validated(clock, suite, feed_frames(tables), {})),
            suites={suite.id: suite.version},
            rows={"records": tables.records.num_rows, "left": tables.behind},
            offsets={f"{log}/{part}": end for (log, part), end in tables.ends.items()},
        )
        return _write(settings, store, report, clock, of)


def _since(last: Report | None) -> dict[tuple[str, int], int]:
    offsets = {} if last is None else last.offsets
    places = ((key.rpartition("/"), end) for key, end in offsets.items())
    return {(log, int(part)): end for (log, _, part), end in places}


def _frames(
    settings: Settings,
    store: BarStore,
    tables: "SessionTables",
    earlier: History,
    table: SuiteTable,
) -> "Iterable[Frame]":
    from truetape.lake.bars import read_session_bars
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
        read_session_bars(settings.lake, session), store, rev, f"{profile.id} {profile.version}"
    )


def _values(settings: Settings, tables: "SessionTables") -> dict[str, int]:
    """Return the values that the `$names` in suites stand for."""
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
    clock.step("load", "loading Great Expectations")
    from truetape.quality import expectations

    expectations.load()
    clock.step(suite.id, f"checking {suite.about}")
    return expectations.validate(suite, frames, values)


def _with_records(result: RuleResult, tables: "SessionTables") -> RuleResult:
    """Add the Kafka records of the first and last trade to examples that are bars."""
    from truetape.quality.bar_frames import with_records

    if tables.trades is None or not result.examples:
        return result
    examples = tuple(with_records(example, tables.trades) for example in result.examples)
    return replace(result, examples=examples)


def _facts(tables: "SessionTables") -> dict[str, SymbolFacts]:
    from truetape.quality.bar_frames import facts_of

    busiest = sorted(facts_of(tables).items(), key=lambda item: -item[1].trades)
    return dict(busiest[:MAX_FACTS])


def _fingerprint(settings: Settings, session: Session) -> str:
    """Return a digest of what a verdict depends on, except served bars and archived records."""
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


def _write(
    settings: Settings, store: BarStore, report: Report, clock: "_Clock", of: DagRun | None
) -> Report:
    """Write the report, then its metrics. If the metrics fail, the report stays."""
    clock.stop()
    complete = replace(report, seconds=clock.seconds, peak_mb=_peak_mb())
    path = reports.write(settings.home, complete)
    _note(settings, of, complete)
    broken = [result.rule for result in complete.results if not result.passed]
    logger("quality").info(
        "checked", kind=str(complete.kind), broken=broken, seconds=sum(clock.seconds.values()),
        peak_mb=complete.peak_mb, report=str(path),
    )  # fmt: skip
    store.write_points(points(complete)).require_stored(
        "metrics", f"{path} was written without them"
    )
    return complete


def _note(settings: Settings, of: DagRun | None, report: Report) -> None:
    if of is not None:
        record_report(settings.home, of, report)


def _rows(table: "pyarrow.Table | None") -> int:
    return 0 if table is None else table.num_rows


def _peak_mb() -> int:
    """Return the peak memory of this process in MB. Linux reports kibibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 // 1_000_000


class _Clock:
    """Reports when each step begins, and measures how long it takes."""

    def __init__(self, progress: Progress, label: str) -> None:
        self.run = reports.new_run(time.time_ns())
        self.seconds: dict[str, float] = {}
        self._progress, self._label = progress, label
        self._step, self._began = "", 0.0

    def step(self, name: str, text: str) -> None:
        """End the current step and begin another."""
        self.stop()
        if name not in self.seconds:
            self._progress(f"{self._label}: {text}")
        self._step, self._began = name, time.monotonic()

    def stop(self) -> None:
        """End the current step."""
        if self._step:
            spent = self.seconds.get(self._step, 0.0) + time.monotonic() - self._began
            self.seconds[self._step] = round(spent, 3)
        self._step = ""
