"""Two supervisors race, drivers are killed and frozen anywhere: hours of it in a second.

`support.race` schedules by a seed; the protocol, the lease, the writer and the decisions in it are
the product's own.
"""

from collections.abc import Iterator

import pytest

from support.race import (
    Faults,
    World,
    counts,
    holders,
    lowered,
    race,
    spoilt,
    trespasses,
    unannounced,
)
from truetape.speed.bar_ranges import is_within

TIERS = {2: (), 10: pytest.mark.real, 50: (pytest.mark.real, pytest.mark.long)}
"""Fifty schedules each: the fast tier runs two of them, the real one ten, the long one the rest."""
SEEDS = [
    pytest.param(seed, marks=next(marks for end, marks in TIERS.items() if seed < end))
    for seed in range(50)
]
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
def test_a_driver_that_freezes_anywhere_leaves_no_wrong_bar(seed: int, is_one_host: bool) -> None:
    """One fault at a time: bars that it overwrites late are rewritten, and no exit report stays."""
    world = race(seed, faults=Faults.ONE, is_one_host=is_one_host)

    assert len(holders(world)) == 1
    assert lowered(world, by_holder=True) == []
    assert unannounced(world) == []
    assert spoilt(world) == []
    assert counts(world.served) == world.fold()


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_kills_and_freezes_leave_no_wrong_bar_that_is_not_named(
    seed: int, is_one_host: bool
) -> None:
    """Only bars that earlier drivers wrote late may be wrong; exit reports name them."""
    world = race(seed, faults=Faults.ANY, is_one_host=is_one_host)

    assert len(holders(world)) == 1
    assert lowered(world, by_holder=True) == []
    assert unannounced(world) == []
    served, named = counts(world.served), spoilt(world)
    wrong = {key for key, trades in world.fold().items() if served.get(key) != trades}
    assert not [key for key in wrong if not is_within(named, str(key[1]), int(str(key[2])))]


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_no_driver_writes_below_a_boundary(seed: int, is_one_host: bool) -> None:
    """Publications race the drivers: no final bar changes, whatever the order of steps."""
    world = race(seed, faults=Faults.NONE, is_one_host=is_one_host, publishers=2)

    assert len(world.published) > 4
    assert trespasses(world) == []


@HOSTS
@pytest.mark.parametrize("seed", SEEDS)
def test_only_a_driver_without_the_lease_writes_below_a_boundary_and_it_names_its_bars(
    seed: int, is_one_host: bool
) -> None:
    """It froze between its check and its write: its exit report names the bars until they are
    published.
    """
    world = race(seed, faults=Faults.ANY, is_one_host=is_one_host, publishers=1)

    late = trespasses(world)
    assert not [write for write in late if write.was_held]
    assert unannounced(world) == []


def test_the_seeds_produce_the_faults_that_they_are_for() -> None:
    """Late writes that lower bars, also with one fault at a time, and many drivers in a row."""

    def worlds(faults: Faults) -> Iterator[World]:
        return (race(seed, faults=faults, is_one_host=True) for seed in range(12))

    assert any(lowered(world, by_holder=False) for world in worlds(Faults.ANY))
    assert any(lowered(world, by_holder=False) for world in worlds(Faults.ONE))
    assert any(len(world.processes) > 10 for world in worlds(Faults.ANY))
