"""A speed layer in a few lines, from the reference's fold: what it would have served of events."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from support.build import SECOND
from truetape.market.bars import Bar, bars
from truetape.market.canonical import CanonicalTrade
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Trade
from truetape.profiles import load
from truetape.serving.store import BarStore, ServedBar
from truetape.speed.writer import provisional
from truetape.venues import venues

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
    trades: Iterable[Trade], profile: str = "sip"
) -> dict[Resolution, list[ServedBar]]:
    """Return what is served when these trades are counted."""
    counted = [CanonicalTrade(one) for one in trades]
    return {
        resolution: [
            provisional(bar, resolution, venues())  # type: ignore[arg-type] # rows look alike
            for bar in bars(counted, load(profile), resolution, {})
            if bar.is_served
        ]
        for resolution in SERVED
    }


def told_by_arrival(trades: Iterable[Trade]) -> list[Trade]:
    """Return the same trades, in such an order that the first and last to arrive are first and
    last: each at the instant of its bar's first one, numbered as they came.
    """
    arrived = sorted(trades, key=lambda one: one.received_ns)
    return [
        replace(one, event_ns=one.event_ns // SECOND * SECOND, sequence=number)
        for number, one in enumerate(arrived)
    ]


def serve(store: BarStore, served: dict[Resolution, list[ServedBar]]) -> None:
    """Write provisional bars, as the speed layer does."""
    for resolution, rows in served.items():
        store.write(resolution, rows)


def bar_values(bar: Bar) -> tuple[object, ...]:
    """Return what a bar tells."""
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades
