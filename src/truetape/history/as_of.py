"""Served bars as they were known at an instant, folded from archived events by the reference.

Filters by receipt time; keeps no second store. Reads `raw` without Spark, one symbol at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from truetape.drift.bar_trades import profile_of
from truetape.history.served_symbols import venues_of
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
"""Most sessions of one request, since each is folded from its trades."""


@dataclass(frozen=True, slots=True)
class AsOfRequest:
    """The bars of a symbol that start in `[start_ns, end_ns)`."""

    venue: Venue
    symbol: str
    resolution: Resolution
    start_ns: int
    end_ns: int


def bars_as_of(settings: Settings, request: AsOfRequest, as_of_ns: int) -> list[ServedBar]:
    """Return bars as they were known at an instant, ordered by start.

    A bar is final, with its rev, if a publication before that instant served it with these values.
    The others were received by then, but not published. Raise ConfigError for too many sessions.
    """
    raw = RawEvents(settings.lake)
    all_bars: list[ServedBar] = []
    for session in _sessions(request):
        archived = raw.of_symbol(session, request.symbol, as_of_ns)
        past = [
            publication
            for publication in publications(settings.lake, session)
            if publication.published_ns <= as_of_ns
        ]
        events = [item.event for item in archived]
        fold = _Fold(events, request.venue, session, request.resolution)
        profile = profiles.load(profile_for(settings, session)[0])
        all_bars += bars_known_at(fold.at(as_of_ns, profile), fold.published(past))
    return [bar for bar in all_bars if request.start_ns <= bar.start_ns < request.end_ns]


def profile_for(settings: Settings, session: Session) -> tuple[str, int]:
    """Return id and version of the profile of a session's last recompute; before the first
    recompute, those of the settings' profile.
    """
    recomputed_with = profile_of(settings.lake, session)
    if recomputed_with[0]:
        return recomputed_with
    profile = profiles.load(settings.profile)
    return profile.id, profile.version


def venue_of(store: BarStore, symbol: str) -> Venue:
    """Return the only venue of a symbol. Raise ConfigError if several venues serve it, or none."""
    codes = venues_of(store, symbol)
    if len(codes) != 1:
        problem = f"has bars on {', '.join(codes)}" if codes else "has no bars"
        raise ConfigError(f"{symbol} {problem}; name the venue with --venue")
    return venues()[codes[0]]


def bars_known_at(
    now: Mapping[int, ServedBar], revs: Sequence[tuple[int, Mapping[int, ServedBar]]]
) -> Iterator[ServedBar]:
    """Yield the bars known at an instant, by start, given the publications until then.

    `now` are the bars folded from the events received by then; `revs` are the publications with
    their bars, oldest first. A bar is final if the newest publication has it with equal values; its
    rev is that of its last change. A published bar without any trade left is void.
    """
    served: dict[int, ServedBar] = {}
    for rev, published in revs:
        for start, bar in published.items():
            if start not in served or served[start] != final(bar, served[start].rev):
                served[start] = final(bar, rev)
        for start in served.keys() - published.keys():
            if not served[start].void:
                served[start] = void(served[start], rev)
    for start in sorted(now.keys() | served.keys()):
        last = served.get(start)
        if start not in now:
            if last is not None:
                yield last if last.void else void(last, 0).unsealed()
        elif last is not None and last == final(now[start], last.rev):
            yield last
        else:
            yield now[start]


class _Fold:
    """The events of one symbol and session, folded as they were known at an instant."""

    def __init__(
        self, events: Sequence[Event], venue: Venue, session: Session, resolution: Resolution
    ) -> None:
        self._events = events
        self._venue = venue
        self._session = session
        self._resolution = resolution

    def at(self, instant_ns: int, profile: Profile) -> dict[int, ServedBar]:
        by_code = {self._venue.code: self._venue}
        settled = canonical(self._events, by_code, instant_ns).trades
        in_session = [item for item in settled if self._session.contains(item.trade.event_ns)]
        sessions = {self._venue.code: [self._session]}
        return {
            bar.start_ns: _served(bar, self._session, self._resolution)
            for bar in bars(in_session, profile, self._resolution, sessions)
            if bar.is_served
        }

    def published(self, past: Sequence[Publication]) -> list[tuple[int, Mapping[int, ServedBar]]]:
        return [(each.rev, self.at(each.as_of_ns, profiles.load(each.profile))) for each in past]


def _sessions(request: AsOfRequest) -> list[Session]:
    first, last = request.venue.date_of(request.start_ns), request.venue.date_of(request.end_ns - 1)
    if last - first >= timedelta(days=MAX_SESSIONS):
        raise ConfigError(
            f"{first} to {last} is more than {MAX_SESSIONS} days; choose --from and --to closer"
        )
    return calendars.sessions(request.venue, first, last)


def _served(bar: Bar, session: Session, resolution: Resolution) -> ServedBar:
    daily = resolution is Resolution.DAY
    seq = 0 if daily else (bar.start_ns - session.start_ns) // resolution.width_ns
    return ServedBar.unpublished(
        (bar.symbol, bar.venue, bar.start_ns),
        (getattr(bar, name) for name in BAR_NUMBERS),
        trades=bar.trades,
        seq=seq,
        layer="batch",
    )
