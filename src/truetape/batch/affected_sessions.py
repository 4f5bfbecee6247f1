"""Finds, in Spark, the sessions and symbols that new records affect.

A trade affects its own session, an amendment the session of the trade it means. Writes nothing. Of
the archive it reads only the trades that amendments without an event time may mean.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from truetape.batch.backfill_plan import AffectedSession
from truetape.batch.spark.canonical import session_date
from truetape.kernel.events import event_of
from truetape.market.canonical import (
    AMENDMENT_REACH,
    first_deliveries,
    trade_meant,
)
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue
from truetape.market.trades import Amendment, Position, Trade

_NAME = ("feed", "venue", "symbol", "id")
_RECENT = timedelta(days=1)
"""Most amendments follow their trade within a day; more is read only for the others."""

Affected = tuple[str, date, str]
"""Venue, session and symbol."""


def affected_sessions(
    rows: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]
) -> DataFrame:
    """Return one row for each venue, session and symbol, with counts of `trades` and `amendments`.

    `rows` and `archived` are rows of `raw`; `archived` may contain `rows`.
    """
    events = _events(rows)
    session = session_date(venues, F.col("venue"), F.col("event_ns")).alias("session")
    is_trade = F.col("kind") == "trade"
    dated = events.where("event_ns is not null").select(
        "venue",
        session,
        "symbol",
        is_trade.cast("bigint").alias("trades"),
        (~is_trade).cast("bigint").alias("amendments"),
    )
    counts = _undated(events, archived, venues)
    undated = rows.sparkSession.createDataFrame(
        [(*place, 0, count) for place, count in counts.items()], dated.schema
    )
    places = dated.unionByName(undated).groupBy("venue", "session", "symbol")
    return places.agg(F.sum("trades").alias("trades"), F.sum("amendments").alias("amendments"))


def group_by_session(rows: Iterable[Row]) -> tuple[AffectedSession, ...]:
    """Group collected rows of `affected_sessions` by session, in order."""
    symbols: dict[tuple[str, date], set[str]] = {}
    for row in rows:
        symbols.setdefault((row.venue, row.session), set()).add(row.symbol)
    return tuple(
        AffectedSession(venue, day, tuple(sorted(symbols[venue, day])))
        for venue, day in sorted(symbols)
    )


def _undated(
    events: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]
) -> Counter[Affected]:
    """Count the amendments without an event time by the session of the trade that they mean.

    Reads the trades received up to a day before them; those of the full reach only for amendments
    that no such trade precedes. If still no trade precedes one, it waits for a trade, and each
    session with a trade of its name counts.
    """
    undated = events.where("event_ns is null")
    earliest = undated.agg(F.min("received_ns").alias("ns")).collect()[0].ns
    if earliest is None:
        return Counter()
    received = F.coalesce("received_ns", F.col("record_ms") * 1_000_000)
    recent = archived.where(received >= earliest - _ns(_RECENT))
    counts: Counter[Affected] = Counter()
    waiting: set[Position] = set()
    for amendment, trades in _with_trades(undated, events, recent, venues):
        meant = _received_before(amendment, trades, venues)
        if meant is None:
            waiting.add(amendment.position)
        else:
            counts[_place(meant, venues)] += 1
    if not waiting:
        return counts
    nearby = archived.where(F.col("last_event_ns") >= earliest - _ns(AMENDMENT_REACH))
    for amendment, trades in _with_trades(undated, events, nearby, venues):
        if amendment.position in waiting:
            meant = _received_before(amendment, trades, venues)
            counts.update({_place(trade, venues) for trade in ([meant] if meant else trades)})
    return counts


def _with_trades(
    amendments: DataFrame, events: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]
) -> Iterator[tuple[Amendment, Sequence[Trade]]]:
    """Yield each amendment with the trades of its name, one name in memory at a time."""
    names = amendments.select(*_NAME).distinct()
    trades = _events(archived).unionByName(events).where("kind = 'trade'")
    named = trades.join(names, list(_NAME), "leftsemi")
    ordered = amendments.unionByName(named).orderBy(*_NAME).toLocalIterator()
    for _, rows in groupby(ordered, key=lambda row: [row[name] for name in _NAME]):
        group = [event_of(row.asDict()) for row in rows]
        firsts = first_deliveries((event for event in group if isinstance(event, Trade)), venues)
        for event in group:
            if not isinstance(event, Trade):
                yield event, list(firsts.values())


def _received_before(
    amendment: Amendment, trades: Sequence[Trade], venues: Mapping[str, Venue]
) -> Trade | None:
    """Return the trade that an amendment means if it was received first; no later trade can then
    change which one it means.
    """
    meant = trade_meant(amendment, trades, venues)
    return meant if meant and meant.received_ns <= amendment.received_ns else None


def _place(trade: Trade, venues: Mapping[str, Venue]) -> Affected:
    return trade.venue, venues[trade.venue].date_of(trade.event_ns), trade.symbol


def _events(rows: DataFrame) -> DataFrame:
    """Return one row for each event, with the coordinates and the feed of its record."""
    names = ("topic", "partition", "offset", "feed")
    events = rows.select(*names, F.explode("events").alias("event"))
    return events.select(*names, "event.*")


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * SECOND_NS
