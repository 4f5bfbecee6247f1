"""The batch layer's jobs as single calls: each runs one job and returns its counts.

The command line, the Spark entry points and the pipeline call these; they print nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from truetape.batch.dead_letters import archived_offsets, rejected_letters
from truetape.batch.dirty_marking import Marked, mark_dirty
from truetape.batch.ingest import archive
from truetape.batch.local import parts as local_parts
from truetape.batch.raw_lock import raw_lock
from truetape.batch.recompute import AsOfSession, Engine, Recomputed, RecomputeRules
from truetape.batch.session_recompute import recompute, recompute_as_of
from truetape.batch.spark.errors import spark_errors
from truetape.batch.spark.session import spark_session
from truetape.broker.dead_letters import send_dead_letters
from truetape.broker.offsets import available_offsets
from truetape.broker.topics import require_broker_stamps
from truetape.host import profiles
from truetape.host.jars import spark_jars
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.bars_lineage import profiles_of
from truetape.lake.completeness import Completeness, Hole, completeness, of_log, offsets_of
from truetape.lake.contract_versions import decoded_by
from truetape.lake.coverage import OffsetCount, count_offsets, last_count, record_count
from truetape.lake.delta import require_sound
from truetape.lake.dirty import pending_marks
from truetape.lake.record_identity import ReplacedLog, begin_generation
from truetape.lake.tables import Table
from truetape.market.eligibility import Profile
from truetape.market.ranges import Ranges
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session

MAX_DIRTY_SYMBOLS = 500
"""Most symbols to recompute instead of a whole session; each is a term of a condition."""


@dataclass(frozen=True, slots=True)
class Archived:
    """The result of an archive run, and what the lake has of the topic now.

    `records`: those counted for the first time. `since`: the version of `raw` whose count was taken
    over, None if all of `raw` was counted. `dirty`: how many symbols of which sessions have new
    events since their recompute.
    """

    records: int
    partitions: list[Completeness]
    earlier: list[Completeness]
    """The generations that newer ones have replaced."""
    dead_letters: int
    since: int | None
    dirty: Marked
    newly_lost: tuple[Hole, ...]
    """The offsets that Kafka has deleted, and of which no earlier run could say so."""

    @property
    def accepted(self) -> int:
        """Return the number of trades, cancels and corrections in all archived records."""
        return sum(counted.accepted for part in self._logs for counted in part.ranges)

    @property
    def rejected(self) -> int:
        """Return the number of rejected events in all archived records."""
        return sum(counted.rejected for part in self._logs for counted in part.ranges)

    @property
    def received(self) -> int:
        """Return the number of accepted and rejected events."""
        return self.accepted + self.rejected

    @property
    def _logs(self) -> list[Completeness]:
        return [*self.earlier, *self.partitions]


def begin_generation_once(settings: Settings, who: str, reason: str) -> list[ReplacedLog]:
    """Begin a new generation of each partition whose offsets Kafka has given to other records.

    Raise ConfigError if there is none.
    """
    with raw_lock(settings):
        return begin_generation(settings, who, reason)


def archive_once(
    settings: Settings, *, recount: bool = False, report: Callable[[str], None] = lambda _: None
) -> Archived:
    """Archive new records, count them, send their dead letters, and mark affected sessions dirty.

    Completeness is judged against the offsets that Kafka had when the run began; later records are
    left to the next run. `recount` counts all of `raw` again, even if its log shows no change.
    """
    require_sound(settings.lake, Table.RAW)
    require_broker_stamps(settings.kafka, settings.topic)
    available = available_offsets(settings.kafka, settings.topic)
    with raw_lock(settings, report):
        archive(settings, report)
    earlier = known = last_count(settings.lake, settings.topic)
    counted = count_offsets(settings.lake, settings.topic, known)
    records = _new_records(counted, known)
    marked = mark_dirty(settings.lake, known, counted, venues())
    offsets = archived_offsets(counted, known)
    if recount:
        known, counted = None, count_offsets(settings.lake, settings.topic)
    dead = send_dead_letters(partial(rejected_letters, settings.lake), offsets, settings)
    if counted != known:
        # last: recorded offsets count as finished, dead letters and marks included
        record_count(settings.lake, counted)
    partitions = completeness(counted.generations.log, counted.ranges, available)
    since = known.raw_version if known else None
    lost = _newly_lost(partitions, earlier)
    if lost:
        logger("archive").warning("deleted by Kafka before they were archived", holes=lost)
    return Archived(records, partitions, _earlier(counted), dead, since, marked, lost)


def _newly_lost(partitions: list[Completeness], known: OffsetCount | None) -> tuple[Hole, ...]:
    """Return the lost offsets that the last recorded count had, or that lie between its end and the
    newest record: those that a run finds for the first time.

    A partition of which that count had no record says nothing: its records may be older than the
    lake.
    """
    if known is None:
        return ()
    lost: list[Hole] = []
    for part in partitions:
        before = offsets_of(known.logs.get(part.topic, {}).get(part.partition, ()))
        if before and part.last is not None:
            known_holes = Ranges.between(0, before.parts[-1].end) - before
            archived = Ranges.between(0, part.last + 1)
            for hole in part.holes:
                if not hole.recoverable:
                    fresh = (Ranges([hole.offsets]) & archived) - known_holes
                    lost += [replace(hole, offsets=span) for span in fresh]
    return tuple(lost)


def _new_records(counted: OffsetCount, known: OffsetCount | None) -> int:
    """Count the records that no earlier count has; `raw` may have lost others since."""
    if known is None:
        return counted.records
    return sum(offsets.size for offsets in counted.fresh(known).values())


def _earlier(counted: OffsetCount) -> list[Completeness]:
    return [
        of_log(log, partition, ranges, None) for (log, partition), ranges in counted.earlier.items()
    ]


def recompute_once(
    settings: Settings, session: Session, profile: str | None = None, *, dirty: bool = False
) -> Recomputed:
    """Recompute one session with a profile, by default that of the settings.

    `dirty` restricts it to the marked symbols if `dirty_symbols` allows that.
    """
    rules = _rules(settings, profile)
    symbols = dirty_symbols(settings.lake, session, rules.profile) if dirty else None
    with _engine(settings) as engine:
        counts = recompute(settings.lake, session, rules, engine, symbols)
    contracts = tuple(decoded_by(settings.lake, session))
    for feed in contracts:
        if not feed.is_uniform:
            logger("recompute").warning("mixed_contracts", session=str(session.date), why=str(feed))
    return replace(counts, contracts=contracts)


def recompute_as_of_once(
    settings: Settings, session: Session, profile: str | None, as_of_ns: int
) -> AsOfSession:
    """Recompute one session from the events received by an instant. Writes nothing."""
    rules = _rules(settings, profile)
    with _engine(settings) as engine:
        return recompute_as_of(settings.lake, session, rules, engine, as_of_ns)


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    """Give the engine of the settings; Spark is started for it."""
    if settings.batch_engine == "local":
        yield local_parts.computed
        return
    from truetape.batch.spark.parts import computed

    with spark_errors(settings):
        spark = spark_session("truetape recompute", settings, spark_jars(settings.cache))
        yield partial(computed, spark=spark)


def _rules(settings: Settings, profile: str | None) -> RecomputeRules:
    return RecomputeRules(
        profile=profiles.load(profile or settings.profile),
        venues=venues(),
        lateness_ns=settings.speed_lateness_s * SECOND_NS,
    )


def dirty_symbols(lake: str, session: Session, profile: Profile) -> tuple[str, ...] | None:
    """Return the marked symbols of a session; None if the whole session must be recomputed.

    That is so if nothing is marked, if so much is marked that a whole recompute costs less, or if
    another profile made the other symbols' bars.
    """
    symbols = sorted({mark.symbol for mark in pending_marks(lake, session)})
    made_by = {(profile.id, profile.version)}
    if not 0 < len(symbols) <= MAX_DIRTY_SYMBOLS or profiles_of(lake, session) != made_by:
        return None
    return tuple(symbols)
