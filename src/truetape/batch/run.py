"""The batch layer's jobs as single calls: start Spark, do one thing, return what to print.

Called by the command line, the Spark entry points and the DAGs alike.
"""

from dataclasses import dataclass

from pyspark.sql import functions as F

from truetape import profiles
from truetape.batch.archive import Completeness, archive, completeness
from truetape.batch.dead_letters import send_dead_letters
from truetape.batch.lake import Lake, Table
from truetape.batch.recompute import Recomputed, Rules, recompute
from truetape.batch.spark import spark_session
from truetape.feeds.decoder import Limits
from truetape.local.jars import spark_jars
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session
from truetape.settings import Settings
from truetape.venues import venues


@dataclass(frozen=True, slots=True)
class Archived:
    """What an archive run brought in, and what the lake holds now."""

    records: int
    partitions: list[Completeness]
    accepted: int
    rejected: int
    dead_letters: int

    @property
    def received(self) -> int:
        """Return how many trades, cancels and corrections all archived records held."""
        return self.accepted + self.rejected


def archive_once(settings: Settings) -> Archived:
    """Archive what is new, send its dead letters, and count the whole topic."""
    spark = spark_session("truetape archive", settings, spark_jars(settings.cache))
    records = archive(spark, settings, Limits.of(settings))
    lake = Lake(settings.lake)
    dead = send_dead_letters(lake.read(spark, Table.RAW), settings)
    counts = (
        lake.read(spark, Table.RAW)
        .where(F.col("topic") == settings.topic)
        .agg(
            F.coalesce(F.sum(F.size("events")), F.lit(0)).alias("accepted"),
            F.coalesce(F.sum("rejections"), F.lit(0)).alias("rejected"),
        )
        .collect()[0]
    )
    held = completeness(spark, lake, settings.topic)
    return Archived(records, held, counts.accepted, counts.rejected, dead)


def recompute_once(settings: Settings, session: Session, profile: str | None = None) -> Recomputed:
    """Recompute one session with a profile, by default the one of the settings."""
    spark = spark_session("truetape recompute", settings, spark_jars(settings.cache))
    rules = Rules(
        profile=profiles.load(profile or settings.profile),
        venues=venues(),
        lateness_ns=settings.speed_lateness_s * SECOND_NS,
    )
    return recompute(spark, Lake(settings.lake), session, rules)
