"""Files of a backfill: the archive's checkpoint, and the stored plans."""

import dataclasses
import os
from pathlib import Path

import pytest

from truetape.batch.archive import checkpoint_for, next_offsets
from truetape.batch.backfill_notes import BackfillNotes
from truetape.batch.backfill_plan import BackfillPlan, OffsetPlan, PlanContents
from truetape.batch.backfill_request import BackfillRequest, Holes
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings


def planned(number: int) -> BackfillPlan:
    return BackfillPlan(
        OffsetPlan(BackfillRequest(Holes(), "nightly"), "trades", "raw-1", number, False, ()),
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


def checkpoint(settings: Settings, commits: int, offsets: list[str]) -> None:
    """Write a checkpoint as Spark does: it may have begun more batches than it finished."""
    folder = checkpoint_for(settings)
    for name in ("commits", "offsets"):
        (folder / name).mkdir(parents=True)
    for number in range(commits):
        Path(folder, "commits", str(number)).write_text('v1\n{"nextBatchWatermarkMs":0}')
    for number, ends in enumerate(offsets):
        Path(folder, "offsets", str(number)).write_text(f'v1\n{{"batchWatermarkMs":0}}\n{ends}')


def test_the_archive_continues_after_its_last_finished_batch(settings: Settings) -> None:
    """The next batch is begun, and Spark will run it again."""
    places = [f'{{"trades":{{"0":{n},"1":{10 * n}}}}}' for n in range(12)]
    checkpoint(settings, 11, places)

    assert next_offsets(settings, 1) == {0: 10, 1: 100}


def test_an_archive_without_a_finished_batch_starts_from_the_lake(settings: Settings) -> None:
    assert next_offsets(settings, 1) is None
    checkpoint(settings, 0, ['{"trades":{"0":5}}'])
    assert next_offsets(settings, 1) is None
