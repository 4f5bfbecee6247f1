"""Record identity: whether Kafka's records are still those that `raw` has at the same offsets.

A record is identified by topic id, partition and offset. Kafka gives offsets to other records when
a topic is made anew, or when a partition loses its log. Two things show that: the topic's id, and
Kafka's stamp of the last record that `raw` has. Archives nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from truetape.broker.offsets import TopicOffsets, topic_id
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.coverage import OffsetCount, count_offsets, last_count
from truetape.lake.delta import open_or_none
from truetape.lake.events import RawEvents
from truetape.lake.generations import Generations, begin_generations, read_generations
from truetape.lake.tables import Table
from truetape.market.ranges import Range

RUNBOOK = 'see "Offsets given out anew" in docs/RUNBOOK.md'


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """The last record that `raw` has of a partition's present generation, and Kafka's stamp."""

    offset: int
    stamp_ms: int


@dataclass(frozen=True, slots=True)
class KafkaLogs:
    """What Kafka has of a topic now.

    `stamps` has the partitions of which Kafka has the offset of the last held record: the stamp of
    its record there, None if it has none.
    """

    topic_id: str | None
    available: Mapping[int, Range]
    stamps: Mapping[int, int | None]


@dataclass(frozen=True, slots=True)
class ReplacedLog:
    """A partition whose offsets Kafka has given to other records, and how that is known."""

    partition: int
    held: HeldRecord
    evidence: str


def require_same_records(settings: Settings) -> Generations:
    """Return the present generations. Raise ConfigError if Kafka has given offsets that `raw` has
    to other records, and TransientError if Kafka does not answer.
    """
    generations, _ = _same_records(settings)
    return generations


def adopt_topic(settings: Settings) -> Generations:
    """Check as `require_same_records`; then store the topic's id for each partition that has none,
    or of which `raw` has no record. Call it under the lock of `raw`.
    """
    generations, kafka = _same_records(settings)
    parts = [part for part in kafka.available if generations.topic_ids.get(part) != kafka.topic_id]
    for number in sorted({generations.number(part) for part in parts}):
        ids = {part: kafka.topic_id or "" for part in parts if generations.number(part) == number}
        generations = begin_generations(
            settings.lake, settings.topic, ids, number=number, who="archive", reason="first seen"
        )
    return generations


def begin_generation(settings: Settings, who: str, reason: str) -> list[ReplacedLog]:
    """Begin a new generation of each partition whose log was replaced; return these.

    The archive then takes all that Kafka has of them, beside the records of the generations before.
    If the topic was made anew, all its partitions begin one. Call it under the lock of `raw`. Raise
    ConfigError if no log was replaced.
    """
    generations, replaced, kafka = _compare(settings)
    if not replaced:
        raise ConfigError(
            f"every partition of {settings.topic} still has the records that the lake has: "
            "no new generation is needed"
        )
    partitions = {log.partition for log in replaced}
    known_ids = set(generations.topic_ids.values())
    if known_ids and kafka.topic_id not in known_ids:
        partitions |= kafka.available.keys()
    ids = dict.fromkeys(partitions, kafka.topic_id or "")
    begin_generations(
        settings.lake, settings.topic, ids, number=generations.last + 1, who=who, reason=reason
    )
    return replaced


def kafka_logs(topic: TopicOffsets, held: Mapping[int, HeldRecord]) -> KafkaLogs:
    """Read from Kafka what `replaced_logs` compares. Raise TransientError if it does not answer."""
    available = topic.available()
    comparable = {
        part: record.offset
        for part, record in held.items()
        if part in available and record.offset in available[part]
    }
    stamps = topic.stamps(comparable)
    return KafkaLogs(topic_id(topic.bootstrap, topic.topic), available, stamps)


def replaced_logs(
    generations: Generations, held: Mapping[int, HeldRecord], kafka: KafkaLogs
) -> list[ReplacedLog]:
    """Return the partitions whose last held record is not the one that Kafka has there.

    A record that Kafka has deleted by its retention proves nothing, if the topic is the same.
    """
    topic = generations.topic
    evidence = {
        part: _evidence(generations.topic_ids.get(part), part, record, kafka)
        for part, record in sorted(held.items())
    }
    return [
        ReplacedLog(part, held[part], f"{topic}/{part}: {text}")
        for part, text in evidence.items()
        if text is not None
    ]


def _evidence(known_id: str | None, part: int, held: HeldRecord, kafka: KafkaLogs) -> str | None:
    if known_id and kafka.topic_id and known_id != kafka.topic_id:
        return f"the topic has id {kafka.topic_id}, the archived records are of {known_id}"
    available = kafka.available.get(part)
    if available is None or held.offset < available.start:
        return None
    if held.offset >= available.end:
        return f"the lake has offset {held.offset}, Kafka's log ends at {available.end}"
    stamp_ms = kafka.stamps[part]
    if stamp_ms == held.stamp_ms:
        return None
    there = "is gone" if stamp_ms is None else f"was stamped {_time(stamp_ms)}"
    return (
        f"the record at offset {held.offset} was stamped {_time(held.stamp_ms)} when it was "
        f"archived; Kafka's record there {there}"
    )


def _same_records(settings: Settings) -> tuple[Generations, KafkaLogs]:
    generations, replaced, kafka = _compare(settings)
    if replaced:
        raise ConfigError(
            f"Kafka gives offsets of {settings.topic} that the lake has to other records: "
            f"{'; '.join(log.evidence for log in replaced)}. Nothing was archived; {RUNBOOK}"
        )
    return generations, kafka


def _compare(settings: Settings) -> tuple[Generations, list[ReplacedLog], KafkaLogs]:
    """Compare `raw` with Kafka. `raw` is read first: what it has, Kafka had before."""
    counted = _count(settings)
    generations = (
        read_generations(settings.lake, settings.topic) if counted is None else counted.generations
    )
    held = {} if counted is None else _held(settings.lake, counted)
    with TopicOffsets(settings.kafka, settings.topic) as topic:
        kafka = kafka_logs(topic, held)
    return generations, replaced_logs(generations, held, kafka), kafka


def _count(settings: Settings) -> OffsetCount | None:
    if open_or_none(settings.lake, Table.RAW) is None:
        return None
    known = last_count(settings.lake, settings.topic)
    return count_offsets(settings.lake, settings.topic, known)


def _held(lake: str, counted: OffsetCount) -> dict[int, HeldRecord]:
    """Return the last record of each partition. Reads `raw` only if the count lacks its stamp."""
    held = {}
    for part, ranges in counted.ranges.items():
        offset, stamp_ms = ranges[-1].offsets.last, ranges[-1].last_ms
        if stamp_ms is None:
            stamp_ms = _stamp(lake, counted.generations.log(part), part, offset)
        if stamp_ms is not None:
            held[part] = HeldRecord(offset, stamp_ms)
    return held


def _stamp(lake: str, log: str, partition: int, offset: int) -> int | None:
    """Read the stamp of a record from `raw`; None if it has lost that row."""
    wanted = {partition: Range(offset, offset + 1)}
    rows = RawEvents(lake).records(log, wanted, ["record_ms"]).to_pylist()
    return int(rows[0]["record_ms"]) if rows else None


def _time(stamp_ms: int) -> str:
    return datetime.fromtimestamp(stamp_ms / 1_000, UTC).isoformat(timespec="milliseconds")
