"""Mending: bars that a fenced driver may have overwritten with older values are written anew.

InfluxDB cannot refuse a late write, so the holder of the lease remembers what it wrote wherever a
suspect may still write, reads those bars from time to time and whenever a suspect says that it has
ended, and writes what differs. Pure but for the read that it is given.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from truetape.host.log import logger
from truetape.market.resolution import STREAMED, Resolution
from truetape.serving.store import Key, ServedBar
from truetape.speed.bar_ranges import Span, is_within
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import Suspect
from truetape.speed.takeover import Ended

EVERY_S = 30.0
"""How often bars are looked at while a suspect is silent: dead elsewhere, or frozen."""
MAX_KEPT_BARS = 300_000
"""Beyond that a suspect's bars are no longer watched; a publication puts them right."""

Read = Callable[[Resolution, Span], Iterable[ServedBar]]


@dataclass(slots=True)
class Mender:
    """What the holder of the lease knows about the bars its suspects may touch.

    `grace_s` is how long a write that has left a driver may take to arrive.
    """

    suspects: tuple[Suspect, ...]
    grace_s: float
    life_of: Callable[[Driver], Life] = life_of
    now_s: Callable[[], float] = time.monotonic
    _kept: dict[tuple[Resolution, Key], ServedBar] = field(default_factory=dict)
    _release_s: dict[int, float] = field(default_factory=dict)
    _next_s: float = 0.0
    _looked_s: float = 0.0

    def note(self, resolution: Resolution, bars: Iterable[ServedBar]) -> None:
        """Remember the newest values of bars that a suspect may touch."""
        spans = self.spans
        for bar in bars if spans else ():
            if is_within(spans, bar.venue, bar.start_ns):
                self._kept[resolution, bar.key] = bar
        if len(self._kept) > MAX_KEPT_BARS:
            logger("speed").error("too many bars to watch; publish them", spans=_text(spans))
            self.suspects, self._kept = (), {}

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return the bars that suspects may touch."""
        return tuple(span for suspect in self.suspects for span in suspect.spans)

    def is_due(self, ends: Iterable[Ended]) -> bool:
        """Say whether to look now; a suspect's last word or death makes it so at once."""
        told = {one.epoch for one in ends}
        for suspect in self.suspects:
            has_ended = suspect.epoch in told or self.life_of(suspect.driver) is Life.DEAD
            if has_ended and suspect.epoch not in self._release_s:
                self._release_s[suspect.epoch] = self.now_s() + self.grace_s
                self._next_s = 0.0
        return bool(self.suspects) and self.now_s() >= self._next_s

    def wrong(self, read: Read, fences: Mapping[str, int]) -> dict[Resolution, list[ServedBar]]:
        """Return the bars, at or above the fences, that are not served as they were written last.

        `is_due` is false for a while after it.
        """
        self._looked_s = now = self.now_s()
        later = [release for release in self._release_s.values() if release > now]
        self._next_s = min([now + EVERY_S, *later])
        found: dict[Resolution, list[ServedBar]] = {}
        for resolution in STREAMED:
            served = {bar.key: bar for span in self.spans for bar in read(resolution, span)}
            found[resolution] = [
                bar
                for (kind, key), bar in self._kept.items()
                if kind is resolution and served.get(key) != bar
                if bar.start_ns >= fences.get(bar.venue, 0)
            ]
        return found

    def release(self, fences: Mapping[str, int]) -> tuple[Suspect, ...]:
        """Forget suspects that can do no more harm, and return them.

        They ended, and their bars were looked at when nothing of theirs could arrive any more; or
        their bars are the batch layer's now.
        """
        gone = tuple(one for one in self.suspects if self._is_harmless(one, fences))
        if gone:
            self.suspects = tuple(one for one in self.suspects if one not in gone)
            spans = self.spans
            self._kept = {
                key: bar
                for key, bar in self._kept.items()
                if is_within(spans, bar.venue, bar.start_ns)
            }
        return gone

    def _is_harmless(self, suspect: Suspect, fences: Mapping[str, int]) -> bool:
        if self._looked_s >= self._release_s.get(suspect.epoch, float("inf")):
            return True
        return all(span.end_ns <= fences.get(span.venue, 0) for span in suspect.spans)


def _text(spans: Iterable[Span]) -> str:
    return ", ".join(map(str, spans))
