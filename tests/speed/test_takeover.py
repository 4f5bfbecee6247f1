"""Who must be feared by the next holder of the lease, and which last words may be forgotten."""

from dataclasses import replace

import pytest

from support.speed import beat, driver, ended
from truetape.speed.bar_ranges import Span
from truetape.speed.heartbeat import Suspect
from truetape.speed.takeover import MAX_SUSPECTS, Ended, Succession, succeed

NOON = Span("XNYS", 100, 200)
LATER = Span("XNYS", 200, 300)
FROZEN = Suspect(3, driver(3), (NOON,), batch=7)


def test_the_first_holder_fears_nobody() -> None:
    assert succeed(None, [], 0) == Succession(last=0)


def test_a_driver_between_two_writes_is_not_feared() -> None:
    assert succeed(beat(epoch=4), [], 8) == Succession(4, (), 8)


def test_a_driver_in_the_middle_of_a_write_is_feared() -> None:
    found = succeed(beat(epoch=4, writing=(LATER,), writing_batch=8), [], 8)

    assert found == Succession(4, (Suspect(4, driver(1), (LATER,), 8),), 8)


def test_what_the_last_holder_feared_is_feared_on() -> None:
    found = succeed(beat(epoch=4, writing=(LATER,), suspects=(FROZEN,)), [], 8)

    assert [one.epoch for one in found.suspects] == [3, 4]


def test_only_so_many_are_watched_and_the_newest_count() -> None:
    many = tuple(replace(FROZEN, epoch=number) for number in range(MAX_SUSPECTS + 3))

    found = succeed(beat(epoch=99, suspects=many), [], 8)

    assert [one.epoch for one in found.suspects] == list(range(3, MAX_SUSPECTS + 3))


def test_epochs_grow_also_when_the_heartbeats_have_expired() -> None:
    assert succeed(None, [ended(epoch=0), ended(epoch=8)], 0).last == 8


@pytest.mark.parametrize(
    ("word", "first_batch", "is_dealt_with"),
    [
        pytest.param(ended(epoch=3), 8, True, id="wrote nothing late"),
        pytest.param(ended(epoch=3, touched=(NOON,)), 7, True, id="its batch is run again"),
        pytest.param(ended(epoch=3, touched=(NOON,)), 8, False, id="its batch was finished before"),
        pytest.param(ended(epoch=2, touched=(NOON,)), 0, False, id="nobody knew of it"),
        pytest.param(ended(epoch=4, touched=(NOON,)), 0, False, id="it was mending"),
    ],
)
def test_a_last_word_stays_where_only_a_publication_helps(
    word: Ended, first_batch: int, is_dealt_with: bool
) -> None:
    mending = Suspect(4, driver(4), (NOON,))

    assert Succession(4, (FROZEN, mending), first_batch).is_dealt_with(word) is is_dealt_with
