"""The takeover: which unfinished writes the next holder inherits, which exit reports may go."""

from dataclasses import replace

import pytest

from support.speed import beat, driver, exit_report, position
from truetape.lake.record_identity import HeldRecord
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ExitReport
from truetape.speed.heartbeat import UnfinishedWrite
from truetape.speed.position import ReadLog, SpeedPosition
from truetape.speed.takeover import MAX_UNFINISHED_WRITES, Takeover, take_over

NOON = Span("XNYS", 100, 200)
LATER = Span("XNYS", 200, 300)
POSITION = position(7, p0=100)
FROZEN = UnfinishedWrite(3, driver(3), (NOON,), batch=7)


def test_the_first_holder_inherits_no_write() -> None:
    assert take_over(None, []) == Takeover(0, (), SpeedPosition())


def test_a_driver_between_two_writes_leaves_no_unfinished_write() -> None:
    assert take_over(beat(epoch=4), []) == Takeover(4, (), POSITION)


def test_the_position_and_the_log_that_it_is_of_are_inherited() -> None:
    log = ReadLog("id-a", {"0": HeldRecord(99, 1_000)})

    takeover = take_over(beat(position=position(9, p0=100, p1=5), log=log), [])

    assert (takeover.position, takeover.log) == (position(9, p0=100, p1=5), log)


def test_a_driver_in_the_middle_of_a_write_leaves_an_unfinished_write() -> None:
    takeover = take_over(beat(epoch=4, writing=(LATER,), writing_batch=8), [])

    assert takeover == Takeover(4, (UnfinishedWrite(4, driver(1), (LATER,), 8),), POSITION)


def test_unfinished_writes_of_earlier_drivers_are_inherited_too() -> None:
    takeover = take_over(beat(epoch=4, writing=(LATER,), unfinished_writes=(FROZEN,)), [])

    assert [write.epoch for write in takeover.unfinished] == [3, 4]


def test_only_the_newest_unfinished_writes_are_watched() -> None:
    many = tuple(replace(FROZEN, epoch=number) for number in range(MAX_UNFINISHED_WRITES + 3))

    takeover = take_over(beat(epoch=99, unfinished_writes=many), [])

    assert [write.epoch for write in takeover.unfinished] == list(
        range(3, MAX_UNFINISHED_WRITES + 3)
    )


def test_epochs_grow_even_after_the_heartbeats_expired() -> None:
    assert take_over(None, [exit_report(epoch=0), exit_report(epoch=8)]).last == 8


@pytest.mark.parametrize(
    ("report", "batch", "may_delete"),
    [
        pytest.param(exit_report(epoch=3), 7, True, id="wrote nothing late"),
        pytest.param(exit_report(epoch=3, late_writes=(NOON,)), 6, True, id="read again"),
        pytest.param(
            exit_report(epoch=3, late_writes=(NOON,)), 7, False, id="its batch was finished before"
        ),
        pytest.param(exit_report(epoch=2, late_writes=(NOON,)), -1, False, id="nobody watched it"),
        pytest.param(
            exit_report(epoch=4, late_writes=(NOON,)), -1, False, id="it was rewriting stale bars"
        ),
    ],
)
def test_an_exit_report_stays_if_only_a_publication_restores_its_bars(
    report: ExitReport, batch: int, may_delete: bool
) -> None:
    rewriting = UnfinishedWrite(4, driver(4), (NOON,))

    assert (
        Takeover(4, (FROZEN, rewriting), position(batch, p0=100)).may_delete(report) is may_delete
    )
