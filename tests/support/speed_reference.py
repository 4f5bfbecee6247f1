"""The speed layer's rule in plain Python: the trades that it counts, and the bars that it serves.

The rule depends on the records alone: not on micro-batches, restarts or the order of partitions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict

import pyarrow as pa

from support.build import SECOND
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.kernel.columns import BARS
from truetape.market.bars import bars
from truetape.market.canonical import CanonicalTrade
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Position, Trade
from truetape.serving.bar_table import bars_of
from truetape.serving.store import BarStore, ServedBar
from truetape.speed.provisional_bars import provisional

LATENESS_NS = 60 * SECOND
FUTURE_SLACK_NS = SECOND
SERVED = (Resolution.SECOND, Resolution.MINUTE)


def counted_trades(
    events: Iterable[Event],
    *,
    repeats: bool = False,
    lost: Callable[[Trade], bool] = lambda _: False,
    lateness_ns: int = LATENESS_NS,
) -> list[Trade]:
    """Return the trades that the speed layer counts, by position: each that is not late, once
    unless `repeats` count, and not `lost`.

    The deliveries of a trade are those with one id in one second of one partition; the first one
    counts.
    """
    timely = [
        event
        for event in events
        if isinstance(event, Trade)
        and event.received_ns - event.event_ns <= lateness_ns
        and not lost(event)
    ]
    arrived = sorted(timely, key=lambda trade: trade.position)
    if repeats:
        return arrived
    firsts: dict[object, Trade] = {}
    for number, trade in enumerate(arrived):
        second = trade.event_ns // SECOND
        part = trade.position.topic, trade.position.partition
        name = trade.feed, trade.venue, trade.symbol, trade.id
        key = (*part, second, *name) if trade.id else number
        firsts.setdefault(key, trade)
    return list(firsts.values())


def closed_out(events: Iterable[Event], lateness_ns: int = LATENESS_NS) -> set[Position]:
    """Return the positions of trades for a window that their partition had closed: an earlier
    record was received after the end of the window, lateness and future slack.
    """
    newest: dict[tuple[str, int], int] = defaultdict(int)
    positions = set()
    for event in sorted(events, key=lambda event: event.position):
        partition = event.position.topic, event.position.partition
        if isinstance(event, Trade):
            end_ns = (event.event_ns // SECOND + 1) * SECOND
            if newest[partition] >= end_ns + lateness_ns + FUTURE_SLACK_NS:
                positions.add(event.position)
        newest[partition] = max(newest[partition], event.received_ns)
    return positions


def provisional_bars(
    trades: Iterable[Trade],
    profile: str = "sip",
    resolutions: Iterable[Resolution] = SERVED,
) -> dict[Resolution, list[ServedBar]]:
    """Return what is served when these trades are counted; of wider bars, as the roll-ups would."""
    counted = [CanonicalTrade(trade) for trade in trades]
    served = {}
    for resolution in resolutions:
        folded = bars(counted, load(profile), resolution, {})
        rows = pa.Table.from_pylist([asdict(bar) for bar in folded if bar.is_served], BARS)
        served[resolution] = list(bars_of(provisional(rows, resolution, venues())))
    return served


def serve(store: BarStore, served: dict[Resolution, list[ServedBar]]) -> None:
    """Write provisional bars, as the speed layer does."""
    for resolution, rows in served.items():
        store.write(resolution, rows)
