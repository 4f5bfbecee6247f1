"""Explains one bar: reads the inputs of its lineage from bar store and lake, without Spark.

Decides nothing: `history.lineage` does.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing

from truetape.drift.ledger import DriftLedger
from truetape.history.as_of import profile_for, venue_of
from truetape.history.lineage import BarId, Lineage, LineageVersions, revisions, trace
from truetape.host import calendars, profiles
from truetape.host.errors import NotThereError
from truetape.host.settings import Settings
from truetape.host.venues import venue_named
from truetape.host.words import require_symbol
from truetape.lake.delta import open_or_none
from truetape.lake.events import ArchivedEvent, RawEvents
from truetape.lake.publications import publications
from truetape.lake.tables import Table
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore, ServedBar

TABLES = (Table.RAW, Table.TRADES, Table.BARS, Table.DRIFT, Table.PUBLICATIONS)


def explain_bar(
    settings: Settings, symbol: str, instant_ns: int, resolution: Resolution, venue: str | None
) -> Lineage:
    """Return the lineage of the bar that contains an instant.

    Raise NotThereError if neither the store has the bar nor the lake a trade of it. Reads the files
    of `raw` that can overlap the session.
    """
    require_symbol(symbol)
    with closing(open_store(settings)) as store:
        market = venue_named(venue) if venue else venue_of(store, symbol)
        session = calendars.session(market, market.date_of(instant_ns))
        bar = BarId(symbol, market.code, resolution, _start(resolution, instant_ns, session))
        served = _served(store, bar)
    archived = RawEvents(settings.lake).of_symbol(session, symbol)
    profile_version = profile_for(settings, session)
    profile = profiles.load(profile_version[0])
    events = [item.event for item in archived]
    folded, deliveries, pending = trace(bar, events, market, session, profile)
    if served is None and not deliveries:
        raise NotThereError(
            f"no {resolution.value} bar of {symbol} at {instant_ns} on {market.code}, "
            "neither in the bar store nor from a trade of the lake"
        )
    drifts = DriftLedger(settings.lake).of_session(session, symbol)
    return Lineage(
        bar=bar,
        served=served,
        folded=folded,
        deliveries=deliveries,
        pending=pending,
        revisions=revisions(publications(settings.lake, session), drifts, bar),
        versions=LineageVersions(profile_version, _contracts(archived), _versions(settings.lake)),
    )


def _start(resolution: Resolution, instant_ns: int, session: Session) -> int:
    if resolution is not Resolution.DAY:
        return resolution.start_of(instant_ns)
    if session.open_ns is None:
        raise NotThereError(f"{session.venue} is closed on {session.date}: it has no 1d bar")
    return session.open_ns


def _served(store: BarStore, bar: BarId) -> ServedBar | None:
    start, end = bar.start_ns, bar.start_ns + 1
    rows = store.read(bar.resolution, start, end, venue=bar.venue, symbols=[bar.symbol])
    return next(iter(rows), None)


def _contracts(archived: list[ArchivedEvent]) -> Mapping[str, tuple[int, ...]]:
    by_feed: dict[str, set[int]] = defaultdict(set)
    for item in archived:
        if item.contract_version is not None:
            by_feed[item.event.feed].add(item.contract_version)
    return {feed: tuple(sorted(by_feed[feed])) for feed in sorted(by_feed)}


def _versions(lake: str) -> Mapping[str, int]:
    opened = {table: open_or_none(lake, table) for table in TABLES}
    return {str(name): table.version() for name, table in opened.items() if table is not None}
