"""What the speed layer counts, as plain Python over `market`: the reference of `speed.state`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from truetape.market.bars import Bar, bars
from truetape.market.canonical import CanonicalTrade
from truetape.market.eligibility import Profile
from truetape.market.resolution import STREAMED, Resolution
from truetape.market.trades import Event, Trade


@dataclass(frozen=True, slots=True)
class SpeedRule:
    """The rule of the speed layer: lateness for each trade, repeats within a partition."""

    profile: Profile
    lateness_ns: int
    slack_ns: int
    repeating: frozenset[str] = field(default_factory=frozenset)

    def counted(self, events: Sequence[Event]) -> list[Trade]:
        """Return the trades of one partition that count; `events` are in their offsets' order."""
        newest_ns, seen, counted = None, set(), []
        for event in events:
            if isinstance(event, Trade) and not self._is_left(event, newest_ns):
                second = Resolution.SECOND.start_of(event.event_ns)
                key = (event.feed, event.venue, event.symbol, second, event.id)
                if event.feed not in self.repeating or event.id is None or key not in seen:
                    counted.append(event)
                seen.add(key)
            newest_ns = (
                event.received_ns if newest_ns is None else max(newest_ns, event.received_ns)
            )
        return counted

    def bars(self, partitions: Iterable[Sequence[Event]]) -> list[Bar]:
        """Return the bars of the counted trades of all partitions, those that are served."""
        counted = [trade for events in partitions for trade in self.counted(events)]
        prints = [CanonicalTrade(trade) for trade in counted]
        return [
            bar
            for resolution in STREAMED
            for bar in bars(prints, self.profile, resolution, {})
            if bar.is_served
        ]

    def _is_left(self, trade: Trade, newest_ns: int | None) -> bool:
        """True if a trade is late, or its partition had closed its window before it."""
        if trade.received_ns - trade.event_ns > self.lateness_ns:
            return True
        end_ns = Resolution.SECOND.start_of(trade.event_ns) + Resolution.SECOND.width_ns
        return newest_ns is not None and end_ns <= newest_ns - self.lateness_ns - self.slack_ns
