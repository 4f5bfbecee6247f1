"""The verb `backfill` without servers: how it prints a plan, and how it finishes earlier plans."""

from datetime import date

import pytest
from click.testing import CliRunner

from truetape.batch import backfill_run
from truetape.batch.backfill_notes import BackfillNotes
from truetape.batch.backfill_plan import (
    AffectedSession,
    ArchiveState,
    BackfillPlan,
    PlanContents,
    plan_backfill,
)
from truetape.batch.backfill_request import BackfillRequest, Holes
from truetape.batch.backfill_run import Ingested
from truetape.cli.backfill import backfill as verb
from truetape.host.errors import OutdatedPlanError
from truetape.host.settings import Settings
from truetape.lake.completeness import CountedRange
from truetape.market.ranges import Range, Ranges
from truetape.pipeline import sessions


def planned(number: int = 1, symbols: tuple[str, ...] = (), due: int = 20) -> BackfillPlan:
    """Offsets 0 to 19, of which 7 and 8 are missing and Kafka dropped 0; 20 and 21 are newer."""
    ranges = {1: (CountedRange(Range(1, 7), 6, 6, 0), CountedRange(Range(9, 20), 11, 11, 0))}
    plan = plan_backfill(
        BackfillRequest(Holes(), "two lost", symbols),
        "trades",
        {0: Range(0, 0), 1: Range(1, 22)},
        ArchiveState(f"raw-{number}", ranges, {1: Ranges.between(due, 22)}),
    )
    touched = tuple(
        AffectedSession("XNYS", date(2026, 3, day), (symbol, "SPY"))
        for day, symbol in ((3, "IBM"), (4, "GE"))
    )
    return BackfillPlan(plan, PlanContents(2, 3, 1, touched))


def run(settings: Settings, *options: str) -> list[str]:
    words = ["--holes", "--reason", "two lost", *options]
    done = CliRunner(env=settings.to_env()).invoke(verb, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_a_plan_lists_each_partition_with_its_missing_offsets_and_their_content(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill_run, "plan_once", lambda *_: planned(symbols=("IBM",)))

    lines = run(settings)

    assert lines == [
        f"backfill {planned(symbols=('IBM',)).plan.digest} of trades",
        "partition       asked    in kafka    archived   to ingest        lost     awaited   "
        "unwritten",
        "        0           0           0           0           0           0           0"
        "           0",
        "        1          22          21          17           2           1           2"
        "           0",
        "  partition 1: offsets 7 to 8, still in Kafka",
        "  partition 1: offsets 0 to 0, lost: no longer in Kafka",
        "to ingest: 2 records = 3 events + 1 rejected, in 2 sessions",
        "  XNYS 2026-03-03: 2 symbols",
        "  1 sessions have none of the given symbols",
        "nothing was written: this is the plan; --apply carries it out",
    ]
    assert [*settings.home.iterdir()] == []


class Killed(BaseException):
    """The end of the process."""


def test_a_plan_is_saved_before_the_first_write_until_its_sessions_are_final(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run finishes that plan first; its rows are in raw already."""
    saved: list[list[BackfillPlan]] = []

    def ingest(own: Settings, _: BackfillPlan) -> Ingested:
        saved.append(BackfillNotes.of(own).unfinished())
        return Ingested(2 if len(saved) == 1 else 0, 0)

    def killed(*_: object) -> None:
        raise Killed

    nothing_left = BackfillPlan(
        plan_backfill(
            BackfillRequest(Holes(), "two lost"), "trades", {}, ArchiveState("raw-1", {}, {})
        ),
        PlanContents(),
    )
    monkeypatch.setattr(backfill_run, "plan_once", lambda *_: planned())
    monkeypatch.setattr(backfill_run, "ingest_once", ingest)
    monkeypatch.setattr(sessions, "finalize_backfilled", killed)
    with pytest.raises(Killed):
        run(settings, "--apply")
    assert BackfillNotes.of(settings).unfinished() == [planned()]

    monkeypatch.setattr(backfill_run, "plan_once", lambda *_: nothing_left)
    monkeypatch.setattr(
        sessions, "finalize_backfilled", lambda *_: ([], [("XNYS", date(2026, 3, 3))])
    )
    lines = run(settings, "--apply")

    assert lines[:2] == [
        f"finishing backfill {planned().plan.digest}: two lost",
        "raw already had all 2 records",
    ]
    assert lines[-2:] == [
        "nothing to ingest",
        "  XNYS 2026-03-03: not over yet; its nightly recompute will include them",
    ]
    assert saved == [[planned()], [planned()]]
    assert BackfillNotes.of(settings).unfinished() == []


def test_an_outdated_plan_that_wrote_nothing_is_dropped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: object) -> None:
        raise OutdatedPlanError("another was first; plan again")

    BackfillNotes.of(settings).begin(planned())
    monkeypatch.setattr(backfill_run, "ingest_once", overtaken)
    monkeypatch.setattr(
        backfill_run,
        "plan_once",
        lambda *_: BackfillPlan(
            plan_backfill(
                BackfillRequest(Holes(), "x y"), "trades", {}, ArchiveState("raw-1", {}, {})
            ),
            PlanContents(),
        ),
    )

    lines = run(settings, "--apply")

    assert lines[1] == "  dropped: another was first; plan again"
    assert lines[-1] == "nothing to ingest"
    assert BackfillNotes.of(settings).unfinished() == []
