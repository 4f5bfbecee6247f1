"""The race model runs the product's protocol: break one of its rules, and some seed shows it."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

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
from truetape.speed.heartbeat import Phase
from truetape.speed.lease import Lease
from truetape.speed.protocol import DriverRun, Wait
from truetape.speed.writer import SpeedWriter

RACES = [
    {"seed": seed, "faults": faults, "is_one_host": is_one_host, "publishers": publishers}
    for seed, is_one_host, (faults, publishers) in product(
        range(10), [True, False], [(Faults.ANY, 0), (Faults.ANY, 1), (Faults.ONE, 0)]
    )
]

Break = Callable[[pytest.MonkeyPatch], None]


def skip_beats(is_skipped: Callable[[dict[str, Any]], bool]) -> Break:
    """Leave out the heartbeats whose changes match."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        beat = Lease.beat

        def skipping(self: Lease, **changes: Any) -> None:
            if not is_skipped(changes):
                beat(self, **changes)

        patch.setattr(Lease, "beat", skipping)

    return apply


def write_without_waiting(patch: pytest.MonkeyPatch) -> None:
    def nothing(self: DriverRun, lease: Lease) -> Iterator[Wait]:
        yield from ()

    patch.setattr(DriverRun, "_wait_for_late_writes", nothing)


def rewrite_no_stale_bar(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SpeedWriter, "_rewrite_stale_bars", lambda _: None)


def end_without_report(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DriverRun, "_report_exit", lambda *_, **__: None)


def name_no_late_write(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "unconfirmed", ())


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(skip_beats(lambda changes: bool(changes.get("writing"))), id="check before"),
        pytest.param(skip_beats(lambda changes: changes.get("writing") == ()), id="check after"),
        pytest.param(
            skip_beats(lambda changes: changes == {"state": Phase.RUNNING}),
            id="runs before it reads a fence",
        ),
        pytest.param(
            write_without_waiting, id="wait for late writes", marks=pytest.mark.real
        ),  # a race of seconds: the driver writes all the time
        pytest.param(rewrite_no_stale_bar, id="rewrite stale bars"),
        pytest.param(end_without_report, id="exit report"),
        pytest.param(name_no_late_write, id="late writes named"),
    ],
)
def test_a_broken_rule_shows(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)

    assert any(is_wrong(race(**arguments), arguments) for arguments in RACES)  # type: ignore[arg-type]


def test_the_protocol_itself_shows_nothing_in_these_races() -> None:
    assert not any(is_wrong(race(**arguments), arguments) for arguments in RACES[:3])  # type: ignore[arg-type]


def is_wrong(world: World, arguments: dict[str, Any]) -> bool:
    """True if the world shows what the tests of the race forbid."""
    if unannounced(world):
        return True
    if arguments["publishers"]:
        return any(write.was_held for write in trespasses(world))
    served, late = counts(world.served), spoilt(world)
    wrong = [key for key, trades in world.fold().items() if served.get(key) != trades]
    if arguments["faults"] is Faults.ONE and (wrong or late):
        return True
    is_unnamed = [key for key in wrong if not is_within(late, str(key[1]), int(str(key[2])))]
    return bool(len(holders(world)) != 1 or lowered(world, by_holder=True) or is_unnamed)
