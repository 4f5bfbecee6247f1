"""The batch layer's jobs as single calls: start Spark, do one thing, return what to print.

Called by the command line, the Spark entry points and the DAGs alike.
"""

from dataclasses import dataclass

from truetape import profiles
from truetape.batch.archive import archive, writing_raw
from truetape.batch.as_of import Known, recompute_as_of
from truetape.batch.counted import count, last_count, note
from truetape.batch.dead_letters import send_dead_letters
from truetape.batch.kafka_offsets import kept_offsets
from truetape.batch.lake import Lake, Table
from truetape.batch.offsets import Completeness, completeness
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
    """What an archive run brought in, and what the lake holds of the topic now.

    `records` were counted for the first time. `since` is the version of `raw` whose count was
    taken over, None when all of it was counted.
    """

    records: int
    partitions: list[Completeness]
    dead_letters: int
    since: int | None

    @property
    def accepted(self) -> int:
        """Return how many trades, cancels and corrections all archived records held."""
        return sum(one.accepted for part in self.partitions for one in part.ranges)

    @property
    def rejected(self) -> int:
        """Return how many were rejected."""
        return sum(one.rejected for part in self.partitions for one in part.ranges)

    @property
    def received(self) -> int:
        """Return how many there were of both."""
        return self.accepted + self.rejected


def archive_once(settings: Settings, *, recount: bool = False) -> Archived:
    """Archive what is new, count it, and send its dead letters.

    Complete means: every offset that Kafka had given out when the run began; what came since is the
    next run's. `recount` counts all of `raw` again, which alone finds rows that it lost.
    """
    kept = kept_offsets(settings.kafka, settings.topic)
    spark = spark_session("truetape archive", settings, spark_jars(settings.cache))
    with writing_raw(settings):
        archive(spark, settings, Limits.of(settings))
    lake = Lake(settings.lake)
    known = last_count(lake, settings.topic)
    counted = count(lake, settings.topic, known)
    records = counted.records - (known.records if known else 0)
    if recount:
        known, counted = None, count(lake, settings.topic)
    dead = send_dead_letters(lake.read(spark, Table.RAW), counted.ends, settings)
    if counted != known:
        note(lake, counted)  # last: what is noted is taken for done, dead letters included
    held = completeness(settings.topic, counted.ranges, kept)
    return Archived(records, held, dead, known.raw_version if known else None)


def recompute_once(settings: Settings, session: Session, profile: str | None = None) -> Recomputed:
    """Recompute one session with a profile, by default the one of the settings."""
    spark = spark_session("truetape recompute", settings, spark_jars(settings.cache))
    return recompute(spark, Lake(settings.lake), session, _rules(settings, profile))


def known_once(settings: Settings, session: Session, profile: str | None, as_of_ns: int) -> Known:
    """Recompute one session from what was received by an instant, without writing it."""
    spark = spark_session("truetape recompute", settings, spark_jars(settings.cache))
    rules = _rules(settings, profile)
    return recompute_as_of(spark, Lake(settings.lake), session, rules, as_of_ns)


def _rules(settings: Settings, profile: str | None) -> Rules:
    return Rules(
        profile=profiles.load(profile or settings.profile),
        venues=venues(),
        lateness_ns=settings.speed_lateness_s * SECOND_NS,
    )
