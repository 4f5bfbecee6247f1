"""What the drift ledger of a session must say that went wrong on purpose; told from its making."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from support.speed_toy import SERVED, heard, provisional_bars
from truetape.feeds.simulator import SimulatedSession
from truetape.feeds.simulator_faults import Cause as Trouble
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.profiles import load
from truetape.reconcile.confusion import BarName, Findings, bars_of
from truetape.reconcile.drift import Cause
from truetape.serving.store import BarStore, ServedBar

CAUSES = {
    Trouble.LATE: Cause.LATE,
    Trouble.DUPLICATE: Cause.DUPLICATE,
    Trouble.CANCEL: Cause.CANCEL,
    Trouble.CORRECTION: Cause.CORRECTION,
}
Shown = Mapping[Resolution, Sequence[ServedBar]]


def of_troubles(
    made: SimulatedSession, counted: Iterable[Trade], profile: str = "sip"
) -> dict[tuple[str, str], Cause]:
    """Return the cause of each trade, by symbol and id, that changes a bar.

    `counted` are the deliveries that the speed layer counted. A late trade that it counted is
    none, nor a repeat that it dropped, nor new values of a print that sets no price.
    """
    deliveries: dict[tuple[str, str], int] = {}
    for one in counted:
        key = (one.symbol, one.id or "")
        deliveries[key] = deliveries.get(key, 0) + 1
    trades = {(one.symbol, one.id): one for one in made.truth.events if isinstance(one, Trade)}
    found = {}
    for trouble in made.troubles:
        if trouble.cause not in CAUSES:
            continue
        key = (trouble.symbol or "", trouble.id or "")
        times = deliveries.get(key, 0)
        print_ = trades[key]
        grade = load(profile).judge(print_.conditions, print_.tape)
        matters = {
            Trouble.LATE: times == 0,
            Trouble.DUPLICATE: times > 1,
            Trouble.CANCEL: times > 0,
            Trouble.CORRECTION: times > 0 and grade.high_low,
        }
        if matters[trouble.cause]:
            found[key] = CAUSES[trouble.cause]
    return found


def in_bars(
    causes: Mapping[tuple[str, str], Cause], events: Iterable[Event], before: Shown, after: Shown
) -> Findings:
    """Return the causes in the bars that changed, at the speed layer's resolutions.

    Troubles may undo each other: a late odd lot and a second delivery of one that is as large.
    """
    changed = _told(before) ^ _told(after)
    bars = {bar for bar, _ in changed}
    return {
        (bar, one.id or ""): causes[one.symbol, one.id or ""]
        for one in events
        if isinstance(one, Trade) and (one.symbol, one.id or "") in causes
        for bar in bars_of(one.symbol, one.event_ns, SERVED)
        if bar in bars
    }


def _told(shown: Shown) -> set[tuple[BarName, tuple[float, ...]]]:
    return {
        (
            (bar.symbol, resolution, bar.start_ns),
            (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades),
        )
        for resolution, rows in shown.items()
        for bar in rows
        if not bar.void
    }


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
