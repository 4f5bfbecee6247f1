"""Served bars as they were known at an instant: from archived events, by the reference rules.

A filter on receipt times, not a second store. Reads `raw` without Spark, one symbol at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from truetape.drift.bar_trades import profile_of
from truetape.host import calendars, profiles
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.events import RawEvents
from truetape.lake.publications import Publication, publications
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.eligibility import Profile
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Event
from truetape.publish.diff import final, void
from truetape.serving.store import BAR_NUMBERS, BarStore, ServedBar

MAX_SESSIONS = 31
"""Most sessions of one request: each is folded from its trades."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which bars: those of a symbol that start in `[start_ns, end_ns)`."""

    venue: Venue
    symbol: str
    resolution: Resolution
    start_ns: int
    end_ns: int


def bars_as_of(settings: Settings, asked: Asked, as_of_ns: int) -> list[ServedBar]:
    """Return bars as they were known at an instant, by start.

    Final are those that a publication of that time had served as they are, with its rev; the others
    could be known and were not published yet. ConfigError for a window of too many sessions.
    """
    raw = RawEvents(settings.lake)
    found: list[ServedBar] = []
    for session in _sessions(asked):
        archived = raw.of_symbol(session, asked.symbol, as_of_ns)
        past = [one for one in publications(settings.lake, session) if one.published_ns <= as_of_ns]
        events = [item.event for item in archived]
        fold = _Fold(events, asked.venue, session, asked.resolution)
        profile = profiles.load(profile_for(settings, session)[0])
        found += known_at(fold.at(as_of_ns, profile), fold.published(past))
    return [bar for bar in found if asked.start_ns <= bar.start_ns < asked.end_ns]


def profile_for(settings: Settings, session: Session) -> tuple[str, int]:
    """Return id and version of the profile of a session's last recompute; before any, those of the
    settings' profile.
    """
    found = profile_of(settings.lake, session)
    if found[0]:
        return found
    profile = profiles.load(settings.profile)
    return profile.id, profile.version


def venue_of(store: BarStore, symbol: str) -> Venue:
    """Return the one venue that serves a symbol; ConfigError where there are more or none."""
    found = sorted(
        {bar.venue for resolution in Resolution for bar in store.tail(resolution, symbol, 1)}
    )
    if len(found) != 1:
        told = f"has bars on {', '.join(found)}" if found else "is served nowhere"
        raise ConfigError(f"{symbol} {told}; name the venue with --venue")
    return venues()[found[0]]


def known_at(
    now: Mapping[int, ServedBar], revs: Sequence[tuple[int, Mapping[int, ServedBar]]]
) -> Iterator[ServedBar]:
    """Yield what is known at an instant, by start, beside what publications served until then.

    `revs` are the numbers of publications with the bars that each had, oldest first. A bar that
    the newest of them has with equal values is final, under the rev that last changed it; one that
    it has and nobody's trades make any more is void.
    """
    served: dict[int, ServedBar] = {}
    for rev, made in revs:
        for start, bar in made.items():
            if start not in served or served[start] != final(bar, served[start].rev):
                served[start] = final(bar, rev)
        for start in served.keys() - made.keys():
            if not served[start].void:
                served[start] = void(served[start], rev)
    for start in sorted(now.keys() | served.keys()):
        told = served.get(start)
        if start not in now:
            if told is not None:
                yield told if told.void else replace(void(told, 0), final=False)
        elif told is not None and told == final(now[start], told.rev):
            yield told
        else:
            yield now[start]


class _Fold:
    """The events of one symbol and session, folded as known at one instant or another."""

    def __init__(
        self, events: Sequence[Event], venue: Venue, session: Session, resolution: Resolution
    ) -> None:
        self._events = events
        self._venue = venue
        self._session = session
        self._resolution = resolution

    def at(self, instant_ns: int, profile: Profile) -> dict[int, ServedBar]:
        known = {self._venue.code: self._venue}
        settled = canonical(self._events, known, instant_ns).trades
        mine = [item for item in settled if self._session.contains(item.trade.event_ns)]
        sessions = {self._venue.code: [self._session]}
        return {
            bar.start_ns: _served(bar, self._session)
            for bar in bars(mine, profile, self._resolution, sessions)
            if bar.is_served
        }

    def published(self, past: Sequence[Publication]) -> list[tuple[int, Mapping[int, ServedBar]]]:
        return [(one.rev, self.at(one.as_of_ns, profiles.load(one.profile))) for one in past]


def _sessions(asked: Asked) -> list[Session]:
    first, last = asked.venue.date_of(asked.start_ns), asked.venue.date_of(asked.end_ns - 1)
    if last - first >= timedelta(days=MAX_SESSIONS):
        raise ConfigError(
            f"from {first} to {last} are more than {MAX_SESSIONS} days; narrow --from and --to"
        )
    return calendars.sessions(asked.venue, first, last)


def _served(bar: Bar, session: Session) -> ServedBar:
    daily = bar.resolution is Resolution.DAY
    place = 0 if daily else (bar.start_ns - session.start_ns) // bar.resolution.width_ns
    return ServedBar.unpublished(
        (bar.symbol, bar.venue, bar.start_ns),
        (getattr(bar, name) for name in BAR_NUMBERS),
        trades=bar.trades,
        seq=place,
        layer="batch",
    )
