"""Files of a backfill: the archive's checkpoint, and the stored plans."""

import dataclasses
import os

import pytest

from truetape.batch.backfill_notes import BackfillNotes
from truetape.batch.backfill_plan import BackfillPlan, OffsetPlan, PlanContents
from truetape.batch.backfill_request import BackfillRequest, Holes
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings


def planned(number: int) -> BackfillPlan:
    return BackfillPlan(
        OffsetPlan(BackfillRequest(Holes(), "nightly"), "trades", f"raw-{number}", ()),
        PlanContents(),
    )


def test_begun_plans_are_stored_oldest_first_until_they_are_finished(settings: Settings) -> None:
    notes = BackfillNotes.of(settings)
    assert notes.unfinished() == []
    for number in (2, 1):
        notes.begin(planned(number))
        os.utime(notes.folder / f"{planned(number).plan.digest}.json", (10 - number,) * 2)

    assert notes.unfinished() == [planned(2), planned(1)]
    notes.finish(planned(2))
    notes.finish(planned(2))
    assert BackfillNotes.of(settings).unfinished() == [planned(1)]


def test_each_lake_and_topic_has_its_own_plans(settings: Settings) -> None:
    BackfillNotes.of(settings).begin(planned(1))

    for other in ({"lake": "/elsewhere"}, {"topic": "others"}):
        assert BackfillNotes.of(dataclasses.replace(settings, **other)).unfinished() == []


def test_an_unreadable_plan_is_an_error_that_names_the_file(settings: Settings) -> None:
    notes = BackfillNotes.of(settings)
    notes.begin(planned(1))
    (path,) = notes.folder.glob("*.json")
    path.write_text('{"digest"')

    with pytest.raises(ConfigError, match=str(path)):
        notes.unfinished()
