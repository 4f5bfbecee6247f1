"""A speed layer in a few lines, from the reference's fold: what it would have served of events."""

from collections.abc import Callable, Iterable

from support.build import SECOND
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.market.bars import bars
from truetape.market.canonical import CanonicalTrade
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.serving.store import BarStore, ServedBar
from truetape.speed.writer import provisional

MINUTE = 60 * SECOND
SERVED = (Resolution.SECOND, Resolution.MINUTE)


def heard(
    events: Iterable[Event],
    *,
    repeats: bool = False,
    lost: Callable[[Trade], bool] = lambda _: False,
) -> list[Trade]:
    """Return the trades that a speed layer counts: each on time, once unless `repeats`, and not
    `lost`.

    A minute is closed two minutes after its start, one for itself and one of patience.
    """
    trades = [one for one in events if isinstance(one, Trade) and not lost(one)]
    arrived = sorted(trades, key=lambda one: one.received_ns)
    timely = [
        one for one in arrived if one.received_ns < one.event_ns // MINUTE * MINUTE + 2 * MINUTE
    ]
    if repeats:
        return timely
    first = {(one.symbol, one.id): one for one in reversed(timely)}
    return sorted(first.values(), key=lambda one: one.received_ns)


def provisional_bars(
    trades: Iterable[Trade],
    profile: str = "sip",
    resolutions: Iterable[Resolution] = SERVED,
) -> dict[Resolution, list[ServedBar]]:
    """Return what is served when these trades are counted; of wider bars, as the roll-ups would."""
    counted = [CanonicalTrade(one) for one in trades]
    return {
        resolution: [
            provisional(bar, resolution, venues())  # type: ignore[arg-type] # rows look alike
            for bar in bars(counted, load(profile), resolution, {})
            if bar.is_served
        ]
        for resolution in resolutions
    }


def serve(store: BarStore, served: dict[Resolution, list[ServedBar]]) -> None:
    """Write provisional bars, as the speed layer does."""
    for resolution, rows in served.items():
        store.write(resolution, rows)
