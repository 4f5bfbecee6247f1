"""What the drift ledger of a session must say that went wrong on purpose; told from its making."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from support.confusion import BarName, Findings, Shown, bars_of
from support.speed_toy import SERVED, heard, provisional_bars
from truetape.drift.attribution import Cause
from truetape.feeds.simulator.session import SimulatedSession
from truetape.host.profiles import load
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.serving.store import BarStore, ServedBar


def missing(
    made: SimulatedSession, is_lost: Callable[[Trade], bool], *, repeats: bool
) -> dict[tuple[str, str], Cause]:
    """Return the trades that came in time while the speed layer was down."""
    timely = heard(made.truth.events, repeats=repeats)
    return {(one.symbol, one.id or ""): Cause.MISSING for one in timely if is_lost(one)}


def of_order(events: Iterable[Event]) -> Findings:
    """Return, for each bar whose first or last print to arrive is not its first or last, those
    that are told wrong and those that are right.
    """
    groups: dict[BarName, list[Trade]] = {}
    for one in events:
        if not isinstance(one, Trade):
            continue
        if load("sip").judge(one.conditions, one.tape).open_close:
            for bar in bars_of(one.symbol, one.event_ns, SERVED):
                groups.setdefault(bar, []).append(one)
    found = {}
    for bar, trades in groups.items():
        right = sorted(trades, key=lambda one: one.order)
        arrived = sorted(trades, key=lambda one: (one.received_ns, one.position))
        for told, true in ((arrived[0], right[0]), (arrived[-1], right[-1])):
            if told.price != true.price:
                found |= {(bar, one.id or ""): Cause.ORDER for one in (told, true)}
    return found


def served_by_arrival(events: Iterable[Event]) -> dict[Resolution, list[ServedBar]]:
    """Return what a layer serves that tells first and last by arrival: as if all prints of a bar
    were of one instant, and numbered as they came.
    """
    arrived = sorted(
        (one for one in events if isinstance(one, Trade)),
        key=lambda one: (one.received_ns, one.position),
    )
    return {
        resolution: provisional_bars(
            replace(one, event_ns=resolution.start_of(one.event_ns), sequence=number)
            for number, one in enumerate(arrived)
        )[resolution]
        for resolution in SERVED
    }


def shown(store: BarStore, start_ns: int, end_ns: int) -> Shown:
    """Return what a store serves at the speed layer's resolutions."""
    return {resolution: list(store.read(resolution, start_ns, end_ns)) for resolution in SERVED}
