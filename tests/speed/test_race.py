"""Two supervisors race, drivers are killed and frozen anywhere: a model of hours in a second.

`support.race` schedules by a seed; the decisions and the writer in it are the real ones.
"""

import pytest

from support.race import (
    Faults,
    counts,
    holders,
    lowered,
    race,
    spoilt,
    trespasses,
    unannounced,
)
from truetape.speed.bar_ranges import is_within

# fifty schedules each; ten of them are enough for the fast tier
SEEDS = [seed if seed < 10 else pytest.param(seed, marks=pytest.mark.real) for seed in range(50)]
HOSTS = pytest.mark.parametrize("is_one_host", [True, False], ids=["one host", "many hosts"])


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_two_supervisors_leave_one_writer_and_lower_no_bar(seed: int, is_one_host: bool) -> None:
    world = race(seed, faults=Faults.NONE, is_one_host=is_one_host)

    assert len(holders(world)) == 1
    assert all(write.was_held for write in world.writes)
    assert lowered(world, by_holder=True) == []
    assert counts(world.served) == world.fold()


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_a_driver_that_freezes_anywhere_leaves_nothing_wrong(seed: int, is_one_host: bool) -> None:
    """One fault at a time: what it overwrites late is written anew, and nothing is left to say."""
    world = race(seed, faults=Faults.ONE, is_one_host=is_one_host)

    assert len(holders(world)) == 1
    assert lowered(world, by_holder=True) == []
    assert unannounced(world) == []
    assert spoilt(world) == []
    assert counts(world.served) == world.fold()


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_kills_and_freezes_leave_the_bars_of_the_fold(seed: int, is_one_host: bool) -> None:
    """But for bars of drivers before the last one that wrote late, which are named."""
    world = race(seed, faults=Faults.ANY, is_one_host=is_one_host)

    assert len(holders(world)) == 1
    assert lowered(world, by_holder=True) == []
    assert unannounced(world) == []
    served, named = counts(world.served), spoilt(world)
    wrong = {key for key, trades in world.fold().items() if served.get(key) != trades}
    assert not [key for key in wrong if not is_within(named, str(key[1]), int(str(key[2])))]


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_writes_below_a_boundary(seed: int, is_one_host: bool) -> None:
    """Publications race the drivers: what was made final is left alone, however steps fall."""
    world = race(seed, faults=Faults.NONE, is_one_host=is_one_host, publishers=2)

    assert len(world.published) > 4
    assert trespasses(world) == []


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_only_a_driver_without_the_lease_could_and_it_says_so(seed: int, is_one_host: bool) -> None:
    """One that froze between its check and its write: its last word names what it touched, until
    a publication of these bars.
    """
    world = race(seed, faults=Faults.ANY, is_one_host=is_one_host, publishers=1)

    late = trespasses(world)
    assert not [write for write in late if write.was_held]
    assert unannounced(world) == []


def test_the_seeds_meet_what_they_are_meant_to_meet() -> None:
    """Late writes that lower bars, with one fault at a time too, and many drivers in a row."""
    worlds = [race(seed, faults=Faults.ANY, is_one_host=True) for seed in range(12)]
    healed = [race(seed, faults=Faults.ONE, is_one_host=True) for seed in range(12)]

    assert any(lowered(world, by_holder=False) for world in worlds)
    assert any(lowered(world, by_holder=False) for world in healed)
    assert any(len(world.processes) > 10 for world in worlds)
