"""What the drift ledger of a simulated session must report, from the simulation itself."""

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
    """Return the trades that arrived in time while the speed layer was down."""
    timely = heard(made.truth.events, repeats=repeats)
    return {(trade.symbol, trade.id or ""): Cause.MISSING for trade in timely if is_lost(trade)}


def of_order(events: Iterable[Event]) -> Findings:
    """Return the prints of each bar whose first or last print to arrive is not its first or last
    one: both the print that arrived and the right one.
    """
    groups: dict[BarName, list[Trade]] = {}
    for trade in events:
        if not isinstance(trade, Trade):
            continue
        if load("sip").judge(trade.conditions, trade.tape).open_close:
            for bar in bars_of(trade.symbol, trade.event_ns, SERVED):
                groups.setdefault(bar, []).append(trade)
    misplaced = {}
    for bar, trades in groups.items():
        right = sorted(trades, key=lambda trade: trade.order)
        arrived = sorted(trades, key=lambda trade: (trade.received_ns, trade.position))
        for served, true in ((arrived[0], right[0]), (arrived[-1], right[-1])):
            if served.price != true.price:
                misplaced |= {(bar, trade.id or ""): Cause.ORDER for trade in (served, true)}
    return misplaced


def served_by_arrival(events: Iterable[Event]) -> dict[Resolution, list[ServedBar]]:
    """Return what a layer serves that takes first and last by arrival: as if all prints of a bar
    had the same instant, and were numbered by arrival.
    """
    arrived = sorted(
        (trade for trade in events if isinstance(trade, Trade)),
        key=lambda trade: (trade.received_ns, trade.position),
    )
    return {
        resolution: provisional_bars(
            replace(trade, event_ns=resolution.start_of(trade.event_ns), sequence=number)
            for number, trade in enumerate(arrived)
        )[resolution]
        for resolution in SERVED
    }


def shown(store: BarStore, start_ns: int, end_ns: int) -> Shown:
    """Return what a store serves at the speed layer's resolutions."""
    return {resolution: list(store.read(resolution, start_ns, end_ns)) for resolution in SERVED}
