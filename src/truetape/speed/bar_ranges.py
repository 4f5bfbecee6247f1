"""Spans: the bars that a write may touch, as one range of time for each venue."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from truetape.market.ranges import Range
from truetape.market.resolution import SECOND_NS


@dataclass(frozen=True, slots=True)
class Span:
    """The bars of a venue that start in `[start_ns, end_ns)`, of every symbol and resolution."""

    venue: str
    start_ns: int
    end_ns: int

    @property
    def starts(self) -> Range:
        """Return the range of start times."""
        return Range(self.start_ns, self.end_ns)

    def holds(self, venue: str, start_ns: int) -> bool:
        """True if the bar that starts at `start_ns` is in the span."""
        return venue == self.venue and start_ns in self.starts

    def __str__(self) -> str:
        first = datetime.fromtimestamp(self.start_ns // SECOND_NS, UTC)
        last = datetime.fromtimestamp((self.end_ns - 1) // SECOND_NS, UTC)
        return f"{self.venue} {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"


def spans_of(bars: Iterable[tuple[str, int]]) -> tuple[Span, ...]:
    """Return the smallest spans that hold all bars, given as (venue, start)."""
    spans: dict[str, Span] = {}
    for venue, start in bars:
        span = spans.get(venue, Span(venue, start, start + 1))
        spans[venue] = Span(venue, min(span.start_ns, start), max(span.end_ns, start + 1))
    return tuple(spans[venue] for venue in sorted(spans))


def is_within(spans: Iterable[Span], venue: str, start_ns: int) -> bool:
    """True if any of the spans holds a bar."""
    return any(span.holds(venue, start_ns) for span in spans)
