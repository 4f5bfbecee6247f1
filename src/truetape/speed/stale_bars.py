"""Stale bars: bars that a driver without the lease may have overwritten with older values.

InfluxDB cannot refuse a late write. So the holder of the lease remembers what it writes wherever an
unfinished write may still arrive, reads those bars from time to time and whenever such a driver
reports its end, and writes again what differs. Pure but for the read that it is given.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from truetape.host.log import logger
from truetape.market.resolution import STREAMED, Resolution
from truetape.serving.store import Key, ServedBar
from truetape.speed.bar_ranges import Span, is_within
from truetape.speed.control_records import ExitReport
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import UnfinishedWrite

EVERY_S = 30.0
"""How often bars are compared while a driver is silent: dead on another host, or frozen."""
MAX_WATCHED_BARS = 300_000
"""Beyond this no bar is watched any more; a publication restores them."""

Read = Callable[[Resolution, Span], Iterable[ServedBar]]


@dataclass(slots=True)
class StaleBarRewriter:
    """Knows the right values of the bars that an unfinished write may still overwrite.

    `grace_s` is how long a write that has left a driver may take to arrive.
    """

    unfinished: tuple[UnfinishedWrite, ...]
    grace_s: float
    life_of: Callable[[Driver], Life] = life_of
    now_s: Callable[[], float] = time.monotonic
    _watched: dict[tuple[Resolution, Key], ServedBar] = field(default_factory=dict)
    _release_s: dict[int, float] = field(default_factory=dict)
    _next_s: float = 0.0
    _compared_s: float = 0.0

    def remember(self, resolution: Resolution, bars: Iterable[ServedBar]) -> None:
        """Remember the newest values of the bars that an unfinished write may overwrite."""
        spans = self.spans
        for bar in bars if spans else ():
            if is_within(spans, bar.venue, bar.start_ns):
                self._watched[resolution, bar.key] = bar
        if len(self._watched) > MAX_WATCHED_BARS:
            logger("speed").error("too many bars to watch; publish them", spans=_text(spans))
            self.unfinished, self._watched = (), {}

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return the bars that an unfinished write may overwrite."""
        return tuple(span for write in self.unfinished for span in write.spans)

    def is_due(self, exit_reports: Iterable[ExitReport]) -> bool:
        """True if it is time to compare: at once after a driver's exit report or death."""
        reported = {report.epoch for report in exit_reports}
        for write in self.unfinished:
            has_ended = write.epoch in reported or self.life_of(write.driver) is Life.DEAD
            if has_ended and write.epoch not in self._release_s:
                self._release_s[write.epoch] = self.now_s() + self.grace_s
                self._next_s = 0.0
        return bool(self.unfinished) and self.now_s() >= self._next_s

    def stale(self, read: Read, fences: Mapping[str, int]) -> dict[Resolution, list[ServedBar]]:
        """Return the bars, at or above the fences, that are not served with their newest values.

        `is_due` is false for a while after this.
        """
        self._compared_s = now = self.now_s()
        later = [release for release in self._release_s.values() if release > now]
        self._next_s = min([now + EVERY_S, *later])
        stale: dict[Resolution, list[ServedBar]] = {}
        for resolution in STREAMED:
            served = {bar.key: bar for span in self.spans for bar in read(resolution, span)}
            stale[resolution] = [
                bar
                for (width, key), bar in self._watched.items()
                if width is resolution and served.get(key) != bar
                if bar.start_ns >= fences.get(bar.venue, 0)
            ]
        return stale

    def release(self, fences: Mapping[str, int]) -> tuple[UnfinishedWrite, ...]:
        """Stop watching the writes that can do no more harm, and return them.

        Either their driver ended and its bars were compared when none of its writes could arrive
        any more, or their bars belong to the batch layer now.
        """
        harmless = tuple(write for write in self.unfinished if self._is_harmless(write, fences))
        if harmless:
            self.unfinished = tuple(write for write in self.unfinished if write not in harmless)
            spans = self.spans
            self._watched = {
                key: bar
                for key, bar in self._watched.items()
                if is_within(spans, bar.venue, bar.start_ns)
            }
        return harmless

    def _is_harmless(self, write: UnfinishedWrite, fences: Mapping[str, int]) -> bool:
        if self._compared_s >= self._release_s.get(write.epoch, float("inf")):
            return True
        return all(span.end_ns <= fences.get(span.venue, 0) for span in write.spans)


def _text(spans: Iterable[Span]) -> str:
    return ", ".join(map(str, spans))
