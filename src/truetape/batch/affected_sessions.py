"""Which symbols of which sessions records touch, in Spark: of a trade its own session, of an
amendment that of the trade it means.

Writes nothing. Reads the records themselves, and of the archive only what an amendment without an
event time needs to be told from.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from truetape.batch.backfill_plan import Touched
from truetape.batch.spark.canonical import session_date
from truetape.market.canonical import AMENDMENT_REACH
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue

_NAME = ("feed", "venue", "symbol", "id")
_PLACE = ("partition", "offset", "index")
_RECENT = timedelta(days=1)
"""Most amendments follow their trade within a day: only for the others more is read."""


def touched(rows: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]) -> DataFrame:
    """Return one row for each venue, session and symbol, with counts of `trades` and `amendments`.

    `rows` and `archived` are rows of `raw`; `archived` may hold `rows`.
    """
    events = _events(rows, venues)
    told = events.where("session is not null")
    named = _named(events, archived, venues)
    found = [told, *named]
    pairs = [one.select("venue", "session", "symbol", "kind") for one in found]
    every = pairs[0]
    for other in pairs[1:]:
        every = every.unionByName(other)
    is_trade = F.col("kind") == "trade"
    return every.groupBy("venue", "session", "symbol").agg(
        F.count_if(is_trade).alias("trades"), F.count_if(~is_trade).alias("amendments")
    )


def grouped(rows: Iterable[Row]) -> tuple[Touched, ...]:
    """Gather collected rows of `touched` by session, in order."""
    symbols: dict[tuple[str, date], set[str]] = {}
    for row in rows:
        symbols.setdefault((row.venue, row.session), set()).add(row.symbol)
    return tuple(
        Touched(venue, day, tuple(sorted(symbols[venue, day]))) for venue, day in sorted(symbols)
    )


def _named(events: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]) -> list[DataFrame]:
    """Find the sessions of trades that amendments without an event time mean.

    That is the latest trade of the id received before; where none was, each of that id, since it
    waits for one. Trades received within a day of them are read, and those of a week only where
    that leaves one without its trade.
    """
    silent = events.where("session is null")
    earliest = silent.agg(F.min("received_ns").alias("ns")).collect()[0].ns
    if earliest is None:
        return []
    recent_ns, reach_ns = (_ns(reach) for reach in (_RECENT, AMENDMENT_REACH))
    received = F.coalesce("received_ns", F.col("record_ms") * 1_000_000)
    recent = archived.where(received >= earliest - recent_ns)
    meant = _meant(silent, events, recent, venues).persist()
    if meant.where("latest is null").isEmpty():
        return [_sessions(meant)]
    left = silent.join(meant.where("latest is null"), list(_PLACE), "leftsemi")
    nearby = archived.where(F.col("last_event_ns") >= earliest - reach_ns)
    return [
        _sessions(meant.where("latest is not null")),
        _sessions(_meant(left, events, nearby, venues)),
    ]


def _meant(
    silent: DataFrame, events: DataFrame, archived: DataFrame, venues: Mapping[str, Venue]
) -> DataFrame:
    """Return for each amendment the session it means, null without one, and every candidate."""
    trades = (
        _events(archived, venues)
        .unionByName(events)
        .where("kind = 'trade'")
        .select(*_NAME, "session", F.col("received_ns").alias("known_ns"))
    )
    pairs = silent.select(*_NAME, *_PLACE, "kind", "received_ns").join(trades, list(_NAME), "left")
    before: Column = F.when(F.col("known_ns") <= F.col("received_ns"), F.col("known_ns"))
    return pairs.groupBy("venue", "symbol", "kind", *_PLACE).agg(
        F.max(before).alias("latest"),
        F.max_by("session", before).alias("meant"),
        F.collect_set("session").alias("every"),
    )


def _sessions(meant: DataFrame) -> DataFrame:
    chosen = F.when(F.col("latest").isNull(), F.col("every")).otherwise(F.array("meant"))
    return meant.select("venue", F.explode(chosen).alias("session"), "symbol", "kind")


def _events(rows: DataFrame, venues: Mapping[str, Venue]) -> DataFrame:
    """Return one row an event, with its session where it says when it traded."""
    events = rows.select("partition", "offset", "feed", F.explode("events").alias("event"))
    flat = events.select("partition", "offset", "feed", "event.*")
    session = session_date(venues, F.col("venue"), F.col("event_ns"))
    return flat.select(*_NAME, *_PLACE, "kind", "received_ns", session.alias("session"))


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * SECOND_NS
