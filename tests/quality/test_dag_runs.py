"""Which reports a run of a DAG has, whoever made them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from support.build import NOON
from support.session_lake import FRIDAY as SESSION
from truetape.host.settings import Settings
from truetape.quality import checks, dag_runs
from truetape.quality.dag_runs import DagRun, Noted, note, noted
from truetape.quality.report import Kind, Report, new_run, write

FIRST, SECOND = DagRun("batch_recompute_xnys", "scheduled__1"), DagRun("batch_recompute_xnys", "2")
FRIDAY = SESSION.date


def report(venue: str | None = "XNYS", session: date | None = FRIDAY) -> Report:
    """A report without a rule, thus of an open gate."""
    kind = Kind.GATE if venue else Kind.FEED
    return Report(new_run(NOON), kind, venue, session, (), {"trades": 1}, fingerprint="same")


def test_a_run_has_its_own_reports_in_their_order_each_once(tmp_path: Path) -> None:
    one, feeds, other = report(), report(None, None), report()
    for run, made in ((FIRST, one), (FIRST, feeds), (SECOND, other), (FIRST, one)):
        note(tmp_path, run, made)

    assert noted(tmp_path, FIRST) == (
        Noted("XNYS", FRIDAY, one.run),
        Noted(None, None, feeds.run),
    )
    assert [found.run for found in noted(tmp_path, SECOND)] == [other.run]
    assert noted(tmp_path, DagRun(FIRST.run, FIRST.dag)) == ()


def test_ids_that_run_together_are_told_apart(tmp_path: Path) -> None:
    note(tmp_path, DagRun("a", "bc"), report())

    assert noted(tmp_path, DagRun("ab", "c")) == ()


def test_tasks_of_one_run_may_note_side_by_side(tmp_path: Path) -> None:
    made = [report() for _ in range(24)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: note(tmp_path, FIRST, one), made))

    assert {one.run for one in noted(tmp_path, FIRST)} == {one.run for one in made}


def test_the_oldest_notes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_runs, "MAX_KEPT", 2)
    made = [report() for _ in range(3)]

    for one in made:
        note(tmp_path, FIRST, one)

    assert [found.run for found in noted(tmp_path, FIRST)] == [one.run for one in made[1:]]


def test_a_note_leads_to_the_file_of_its_report(tmp_path: Path) -> None:
    made = report()
    path = write(tmp_path, made)
    note(tmp_path, FIRST, made)

    assert [one.path(tmp_path) for one in noted(tmp_path, FIRST)] == [path]


def test_a_run_that_takes_an_earlier_verdict_has_its_report(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report()
    write(settings.home, made)
    monkeypatch.setattr(checks, "is_current", lambda *_: True)

    assert checks.require_open(settings, SESSION, of=SECOND) == made
    assert [one.run for one in noted(settings.home, SECOND)] == [made.run]
    checks.require_open(settings, SESSION)
    assert len(list((settings.home / "quality" / "runs").iterdir())) == 1
