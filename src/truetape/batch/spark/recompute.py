"""Recompute in Spark: a session's canonical trades and exact bars, from `raw` alone.

Does not publish. Replaces a whole session, or some symbols of it, in one commit each of `trades`
and `bars`, so that a second run gives the same tables.
"""

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from truetape.batch.recompute import Recomputed, RecomputeRules
from truetape.batch.spark import fold
from truetape.batch.spark.canonical import POSITION, canonical, named_by
from truetape.batch.spark.eligibility import judge
from truetape.batch.spark.lake import Lake
from truetape.host.errors import ConfigError
from truetape.kernel.events import event_of
from truetape.lake import bars_lineage
from truetape.lake.events import (
    MAX_AMENDMENTS,
    RECEIPT_SLACK_NS,
    may_mean_others,
    reach_bounds,
    session_bounds,
)
from truetape.lake.tables import Table
from truetape.market.canonical import TradeName
from truetape.market.eligibility import Profile
from truetape.market.resolution import INTRADAY, Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Amendment, Trade


def recompute(
    spark: SparkSession,
    lake: Lake,
    session: Session,
    rules: RecomputeRules,
    symbols: Iterable[str] | None = None,
) -> Recomputed:
    """Recompute a session's rows of `trades` and `bars` from the newest `raw`, and replace them.

    `symbols` restricts it to these: no bar depends on a trade of another symbol. Events that are
    archived for the session after `raw` was read are marked dirty.
    """
    names = None if symbols is None else tuple(sorted(set(symbols)))
    bars_lineage.watch(lake.root, session)
    raw = bars_lineage.current_raw(lake.root)
    deliveries, amendments = session_events(
        lake.read(spark, Table.RAW, version=raw[1]), session, names
    )
    lake.replace(flagged(deliveries, amendments, session, rules), Table.TRADES, session, names)
    trades = of_session(lake.read(spark, Table.TRADES), session)
    own = trades if names is None else trades.where(F.col("symbol").isin(*names))
    lake.replace(session_bars(own, session, rules.profile), Table.BARS, session, names)
    bars_lineage.record_basis(lake.root, session, raw, names)
    return summary(trades, of_session(lake.read(spark, Table.BARS), session), session)


def flagged(
    deliveries: DataFrame, amendments: Sequence[Amendment], session: Session, rules: RecomputeRules
) -> DataFrame:
    """Return the rows of `trades`: a session's deliveries, settled and judged by the profile."""
    settled = canonical(deliveries, amendments, rules.venues, session.date)
    return judge(settled, rules.profile).withColumns(
        {
            "late": F.col("received_ns") - F.col("event_ns") > rules.lateness_ns,
            "in_day": in_day(session),
        }
    )


def session_events(
    raw: DataFrame, session: Session, symbols: Sequence[str] | None = None
) -> tuple[DataFrame, Sequence[Amendment]]:
    """Read a session's deliveries of trades, and every amendment that may mean one of them; of all
    symbols or of these.

    If an amendment may mean a trade of another session, the trades of its name in neighbouring
    sessions are read as well: ids are unique within a day only.
    """
    start, last = session_bounds(session)
    inside = F.col("event_ns").between(start, last)
    wanted = F.lit(True) if symbols is None else F.col("symbol").isin(*symbols)
    own = _exploded(raw.where(_overlapping(start, last)), session.venue)
    trades = own.where((F.col("kind") == "trade") & inside & wanted)
    received = F.col("received_ns")
    recent = (received >= session.start_ns - RECEIPT_SLACK_NS) | received.isNull()
    amendments = _amendments(raw.where(F.col("amends") & recent), session, inside, wanted)
    uncertain = may_mean_others(amendments, _first_receipts(trades, amendments), session)
    if uncertain:
        nearby = _exploded(
            raw.where(_overlapping(*reach_bounds(session, uncertain))), session.venue
        )
        others = nearby.where((F.col("kind") == "trade") & ~inside)
        trades = trades.unionByName(named_by(others, uncertain).select(*trades.columns))
    return trades, amendments


def _overlapping(first_ns: int, last_ns: int) -> Column:
    return (F.col("last_event_ns") >= first_ns) & (F.col("first_event_ns") <= last_ns)


def _first_receipts(trades: DataFrame, amendments: Sequence[Amendment]) -> Mapping[TradeName, int]:
    """Return when the first trade of each name that an amendment has was received."""
    if not amendments:
        return {}
    first = named_by(trades, amendments).groupBy("feed", "venue", "symbol", "id")
    return {
        (row.feed, row.venue, row.symbol, row.id): row.earliest
        for row in first.agg(F.min("received_ns").alias("earliest")).collect()
    }


def in_day(session: Session) -> Column:
    """True if a print belongs to the daily bar: in the regular session, or an auction print."""
    if session.open_ns is None or session.close_ns is None:
        return F.lit(False)
    regular = F.col("event_ns").between(session.open_ns, session.close_ns - 1)
    return regular | F.col("auction")


def session_bars(trades: DataFrame, session: Session, profile: Profile) -> DataFrame:
    """Fold a session's flagged trades into all five resolutions: 1 s first, the others from it."""
    counting = trades.where("not duplicate and not cancelled")
    second = fold.start_of(Resolution.SECOND, F.col("event_ns"))
    base = counting.groupBy("symbol", second.alias("second"), "in_day").agg(
        *fold.tallies(F.col("ordinal"), mergeable=True)
    )
    placed = base.withColumn("place", F.explode(_places(session)))
    rolled = placed.groupBy("symbol", "place").agg(*fold.merged())
    prices = ("open", "high", "low", "close")
    return fold.with_vwap(rolled).withColumns(
        {
            "venue": F.lit(session.venue),
            "session": F.lit(session.date),
            "resolution": F.col("place.resolution"),
            "start_ns": F.col("place.start_ns"),
            "seq": F.col("place.seq"),
            "served": F.expr(" and ".join(f"{price} is not null" for price in prices)),
            "profile": F.lit(profile.id),
            "profile_version": F.lit(profile.version),
        }
    )


def of_session(table: DataFrame, session: Session) -> DataFrame:
    """Return the rows of one session of a partitioned table."""
    return table.where(
        (F.col("venue") == session.venue) & (F.col("session") == F.lit(session.date))
    )


def _places(session: Session) -> Column:
    """Return the bars of a base row: four intraday bars, and the daily bar if it belongs to it."""
    places = [_place(resolution, session) for resolution in INTRADAY]
    if session.open_ns is not None:
        daily = F.struct(
            F.lit(Resolution.DAY.value).alias("resolution"),
            F.lit(session.open_ns).cast("bigint").alias("start_ns"),
            F.lit(0).alias("seq"),
        )
        places.append(F.when(F.col("in_day"), daily))
    return F.array_compact(F.array(*places))


def _place(resolution: Resolution, session: Session) -> Column:
    start = fold.start_of(resolution, F.col("second"))
    seq = fold.floor_div(start - session.start_ns, resolution.width_ns).cast("int")
    return F.struct(
        F.lit(resolution.value).alias("resolution"), start.alias("start_ns"), seq.alias("seq")
    )


def _exploded(raw: DataFrame, venue: str) -> DataFrame:
    events = raw.select("topic", "partition", "offset", "feed", F.explode("events").alias("event"))
    return events.select("topic", "partition", "offset", "feed", "event.*").where(
        F.col("venue") == venue
    )


def _amendments(
    raw: DataFrame, session: Session, inside: Column, wanted: Column
) -> Sequence[Amendment]:
    events = _exploded(raw, session.venue).where((F.col("kind") != "trade") & wanted)
    due = events.where(inside | F.col("event_ns").isNull())
    rows = due.orderBy(*POSITION).limit(MAX_AMENDMENTS + 1).collect()
    if len(rows) > MAX_AMENDMENTS:
        raise ConfigError(
            f"{session.venue} {session.date}: over {MAX_AMENDMENTS} cancels and corrections; "
            "check the feed before recomputing"
        )
    found = [event_of(row.asDict()) for row in rows]
    return [event for event in found if not isinstance(event, Trade)]


def summary(trades: DataFrame, bars: DataFrame, session: Session) -> Recomputed:
    """Count a session's trades and served bars."""
    row = trades.agg(
        F.count("*").alias("trades"),
        *[
            F.coalesce(F.sum(F.col(flag).cast("int")), F.lit(0)).alias(flag)
            for flag in ("duplicate", "cancelled", "corrected")
        ],
        F.coalesce(F.sum((~F.col("known")).cast("int")), F.lit(0)).alias("unknown"),
    ).collect()[0]
    counts = bars.where("served").groupBy("resolution").count().collect()
    return Recomputed(
        session,
        row.trades,
        row.duplicate,
        row.cancelled,
        row.corrected,
        row.unknown,
        {item.resolution: item["count"] for item in counts},
    )
