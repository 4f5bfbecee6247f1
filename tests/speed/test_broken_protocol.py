"""The race model runs the product's protocol: break one rule of it, and some seed shows it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.race import World, counts, holders, lowered, spoilt, trespasses, unannounced
from truetape.speed.bar_ranges import is_within
from truetape.speed.lease import Lease
from truetape.speed.protocol import DriverRun, Wait
from truetape.speed.writer import SpeedWriter

SEEDS = range(40)

Break = Callable[[pytest.MonkeyPatch], None]


def is_broken(world: World) -> bool:
    """True if a world shows what no correct protocol leaves behind."""
    served, named = counts(world.served), spoilt(world)
    wrong = {key for key, trades in world.fold().items() if served.get(key) != trades}
    return bool(
        len(holders(world)) != 1
        or lowered(world, by_holder=True)
        or unannounced(world)
        or [write for write in trespasses(world) if write.was_held]
        or [key for key in wrong if not is_within(named, str(key[1]), int(str(key[2])))]
    )


def no_check_before(patch: pytest.MonkeyPatch) -> None:
    beat = Lease.beat

    def skipping(self: Lease, **changes: Any) -> None:
        if not changes.get("writing"):
            beat(self, **changes)

    patch.setattr(Lease, "beat", skipping)


def no_check_after(patch: pytest.MonkeyPatch) -> None:
    beat = Lease.beat

    def skipping(self: Lease, **changes: Any) -> None:
        if changes.get("writing") != ():
            beat(self, **changes)

    patch.setattr(Lease, "beat", skipping)


def no_wait(patch: pytest.MonkeyPatch) -> None:
    def none(self: DriverRun, lease: Lease) -> Iterator[Wait]:
        yield from ()

    patch.setattr(DriverRun, "_wait_for_late_writes", none)


def no_rewriting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SpeedWriter, "_rewrite_stale_bars", lambda _: None)


def no_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SpeedWriter, "take_over", lambda _: None)


def silent_exit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DriverRun, "_report_exit", lambda *_, **__: None)


def unnamed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "unconfirmed", ())
