"""Which reports a run of a DAG has, whoever made them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from support.build import NOON
from support.session_lake import FRIDAY as SESSION
from truetape.host.settings import Settings
from truetape.quality import checks, dag_runs
from truetape.quality.dag_runs import DagRun, ReportEntry, record_report, reports_of
from truetape.quality.report import Report, ReportKind, new_run, write

FIRST, SECOND = DagRun("batch_recompute_xnys", "scheduled__1"), DagRun("batch_recompute_xnys", "2")
FRIDAY = SESSION.date


def report(venue: str | None = "XNYS", session: date | None = FRIDAY) -> Report:
    """A report without a rule, thus of an open gate."""
    kind = ReportKind.GATE if venue else ReportKind.FEED
    return Report(new_run(NOON), kind, venue, session, (), {"trades": 1}, fingerprint="same")


def test_a_run_lists_its_reports_once_each_oldest_first(tmp_path: Path) -> None:
    one, feeds, other = report(), report(None, None), report()
    for run, made in ((FIRST, one), (FIRST, feeds), (SECOND, other), (FIRST, one)):
        record_report(tmp_path, run, made)

    assert reports_of(tmp_path, FIRST) == (
        ReportEntry("XNYS", FRIDAY, one.run),
        ReportEntry(None, None, feeds.run),
    )
    assert [found.run for found in reports_of(tmp_path, SECOND)] == [other.run]
    assert reports_of(tmp_path, DagRun(FIRST.run, FIRST.dag)) == ()


def test_run_ids_that_join_to_the_same_text_stay_distinct(tmp_path: Path) -> None:
    record_report(tmp_path, DagRun("a", "bc"), report())

    assert reports_of(tmp_path, DagRun("ab", "c")) == ()


def test_parallel_tasks_of_one_run_record_their_reports(tmp_path: Path) -> None:
    made = [report() for _ in range(24)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: record_report(tmp_path, FIRST, one), made))

    assert {one.run for one in reports_of(tmp_path, FIRST)} == {one.run for one in made}


def test_the_oldest_entries_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_runs, "MAX_ENTRIES", 2)
    made = [report() for _ in range(3)]

    for one in made:
        record_report(tmp_path, FIRST, one)

    assert [found.run for found in reports_of(tmp_path, FIRST)] == [one.run for one in made[1:]]


def test_an_entry_names_the_file_of_its_report(tmp_path: Path) -> None:
    made = report()
    path = write(tmp_path, made)
    record_report(tmp_path, FIRST, made)

    assert [one.path(tmp_path) for one in reports_of(tmp_path, FIRST)] == [path]


def test_a_run_that_reuses_a_verdict_lists_its_report(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report()
    write(settings.home, made)
    monkeypatch.setattr(checks, "is_current", lambda *_: True)

    assert checks.require_open(settings, SESSION, of=SECOND) == made
    assert [one.run for one in reports_of(settings.home, SECOND)] == [made.run]
    checks.require_open(settings, SESSION)
    assert len(list((settings.home / "quality" / "runs").iterdir())) == 1
