"""The session date of an instant, in Spark."""

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

from truetape.batch.spark.fold import floor_div
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Venue


def session_date(venues: Mapping[str, Venue], venue: Column, instant_ns: Column) -> Column:
    """Return the session date of an instant: the date on the wall clock of the event's venue."""
    instant = F.timestamp_seconds(floor_div(instant_ns, SECOND_NS))
    by_zone: dict[str, list[str]] = {}
    for code, known in venues.items():
        by_zone.setdefault(known.zone, []).append(code)
    chosen = F.to_date(instant)
    for zone, codes in sorted(by_zone.items()):
        if zone != "UTC":
            local = F.to_date(F.from_utc_timestamp(instant, zone))
            chosen = F.when(venue.isin(codes), local).otherwise(chosen)
    return chosen
