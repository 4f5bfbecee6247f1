"""What the drift ledger of a simulated session must report, from the simulation itself."""

from collections.abc import Callable

from support.confusion import Shown
from support.speed_reference import SERVED, counted_trades
from truetape.drift.attribution import Cause
from truetape.feeds.simulator.session import SimulatedSession
from truetape.market.trades import Trade
from truetape.serving.store import BarStore


def missing(
    made: SimulatedSession, is_lost: Callable[[Trade], bool], *, repeats: bool
) -> dict[tuple[str, str], Cause]:
    """Return the trades that arrived in time while the speed layer was down."""
    timely = counted_trades(made.truth.events, repeats=repeats)
    return {(trade.symbol, trade.id or ""): Cause.MISSING for trade in timely if is_lost(trade)}


def shown(store: BarStore, start_ns: int, end_ns: int) -> Shown:
    """Return what a store serves at the speed layer's resolutions."""
    return {resolution: list(store.read(resolution, start_ns, end_ns)) for resolution in SERVED}
