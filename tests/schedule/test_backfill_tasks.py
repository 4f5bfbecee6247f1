"""The request of a backfill run, and the task that follows its plan."""

import os
from pathlib import Path

import pytest

from truetape.batch.backfill_notes import MAX_PROPOSED, BackfillNotes
from truetape.batch.backfill_plan import BackfillPlan, OffsetPlan, PlanContents
from truetape.batch.backfill_request import BackfillRequest, Holes
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.pipeline.backfill_steps import requester, run_step
from truetape.quality.dag_runs import DagRun
from truetape.schedule.backfill_tasks import next_task, request

FORM = {"by": "holes", "from": None, "to": None, "offsets": None, "symbols": [], "reason": None}


def test_a_person_must_give_a_reason_except_for_a_plan_and_the_schedule_has_its_own() -> None:
    with pytest.raises(ConfigError, match="give 3 to 500 printable characters"):
        request(FORM | {"dry_run": False}, by_hand=True)

    assert request(FORM | {"dry_run": True}, by_hand=True)["reason"] == "plan only"
    assert request(FORM, by_hand=False)["reason"] == "nightly, by schedule"
    assert request(FORM | {"reason": "lost files"}, by_hand=True)["by"] == "holes"


def test_contradictory_fields_are_rejected_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="of no use"):
        request(FORM | {"reason": "why not", "offsets": "0:1-2"}, by_hand=True)


@pytest.mark.parametrize(
    ("to_ingest", "dry_run", "task"),
    [
        (0, True, None),
        (5, True, None),
        (0, False, "finalize"),
        (1, False, "ingest"),
        (100, False, "ingest"),
        (101, False, "approve"),
    ],
)
def test_the_plan_decides_the_next_task(to_ingest: int, dry_run: bool, task: str | None) -> None:
    planned = {"to_ingest": to_ingest}

    assert next_task(planned, dry_run=dry_run, approve_above=100) == task


def test_an_unknown_step_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no step"):
        run_step(settings, "drop", "")


def planned(number: int) -> BackfillPlan:
    holes = BackfillRequest(Holes(), "to find out")
    return BackfillPlan(OffsetPlan(holes, "trades", f"raw-{number}", ()), PlanContents())


def test_a_proposed_plan_is_kept_until_a_hundred_newer_ones(tmp_path: Path) -> None:
    notes = BackfillNotes(tmp_path / "backfills")
    plans = [planned(number) for number in range(MAX_PROPOSED + 1)]
    for number, plan in enumerate(plans):
        notes.propose(plan)
        path = tmp_path / "backfills" / "proposed" / f"{plan.plan.digest}.json"
        os.utime(path, ns=(number, number))
    notes.propose(plans[-1])

    assert notes.proposed(plans[1].plan.digest) == plans[1]
    assert notes.unfinished() == []
    with pytest.raises(ConfigError, match="plan again"):
        notes.proposed(plans[0].plan.digest)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "0" * 15, "0" * 16])
def test_only_a_kept_plan_can_be_carried_out(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ConfigError, match="plan again"):
        BackfillNotes(tmp_path).proposed(digest)


def test_who_asks_and_in_which_run_comes_through_the_job_to_the_publications(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = DagRun("backfill_from_kafka", "manual__2026-03-02T05:00:00+00:00")
    BackfillNotes.of(settings).begin(planned(1))
    asking: list[tuple[str, DagRun | None]] = []

    def finalized(
        *given: object, dag_run: DagRun | None = None
    ) -> tuple[list[object], list[object]]:
        asking.append((str(given[2]), dag_run))
        return [], []

    monkeypatch.setattr("truetape.pipeline.backfill_steps.finalize_backfilled", finalized)

    run_step(settings, "finalize", requester("airflow:ann", run))

    assert asking == [("airflow:ann", run)]
    assert BackfillNotes.of(settings).unfinished() == []
