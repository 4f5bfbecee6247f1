"""The plan of a backfill: which requested offsets are archived, missing or lost. Does no I/O.

A plan is made before anything is written; its digest identifies it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, TypeAlias

from truetape.batch.backfill_request import BackfillRequest, ByOffsets, ByTime, request_of
from truetape.host.errors import ConfigError
from truetape.lake.completeness import CountedRanges, offsets_of
from truetape.lake.offset_text import from_pairs, to_pairs
from truetape.market.ranges import Range, Ranges

MAX_RANGES = 2_000
"""Most ranges that one plan ingests. Each is a term of the condition on every record."""


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """What the lake has of a topic, and where the archive continues.

    `due`: by partition, the offsets that the archive will still read by itself.
    """

    raw_id: str
    ranges: CountedRanges
    due: Mapping[int, Ranges]
    generations: Mapping[int, int] = field(default_factory=dict)
    """The number of each partition's present generation; 1 without an entry."""


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """The requested offsets of one partition. Each offset of `asked` is in exactly one of the five
    sets below it.
    """

    partition: int
    begin: int
    """Kafka has the offsets from `begin` up to, but not including, `end`."""
    end: int
    asked: Ranges
    archived: Ranges
    to_ingest: Ranges
    """Missing, and still in Kafka."""
    lost: Ranges
    """Missing, and no longer in Kafka."""
    awaited: Ranges
    """Not archived yet; the backfill leaves them to the next archive run."""
    unwritten: Ranges
    """Kafka has never assigned them."""
    generation: int = 1
    """The number of the log that the offsets are in."""

    @property
    def in_kafka(self) -> Ranges:
        """Return the requested offsets that Kafka has."""
        return self.asked & Ranges.between(self.begin, self.end)


OffsetsByPartition: TypeAlias = Mapping[int, Ranges]


@dataclass(frozen=True, slots=True)
class OffsetPlan:
    """The offsets of a backfill of a topic into one `raw`."""

    request: BackfillRequest
    topic: str
    raw_id: str
    partitions: tuple[PartitionPlan, ...]

    @property
    def to_ingest(self) -> dict[int, Ranges]:
        """Return the offsets to ingest, by partition; partitions without any are omitted."""
        return {part.partition: part.to_ingest for part in self.partitions if part.to_ingest}

    @property
    def generations(self) -> dict[int, int]:
        """Return the number of the log that each partition's offsets are in."""
        return {part.partition: part.generation for part in self.partitions}

    @property
    def lost(self) -> dict[int, Ranges]:
        """Return the offsets that Kafka no longer has, by partition."""
        return {part.partition: part.lost for part in self.partitions if part.lost}

    def total(self, name: str) -> int:
        """Return the size of a set such as "asked" or "lost", over all partitions."""
        return sum(getattr(part, name).size for part in self.partitions)

    @property
    def digest(self) -> str:
        """Return 16 hexadecimal digits that identify the plan; equal plans have equal digests."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "request": self.request.to_dict(),
            "topic": self.topic,
            "raw_id": self.raw_id,
            "partitions": [_part_to_dict(part) for part in self.partitions],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OffsetPlan":
        """Read the values of `to_dict`. Raise ConfigError if they are not a plan."""
        _with_fields(cls, values)
        return cls(
            request_of(values["request"]),
            str(values["topic"]),
            str(values["raw_id"]),
            tuple(_part_of(part) for part in values["partitions"]),
        )


@dataclass(frozen=True, slots=True, order=True)
class AffectedSession:
    """A session that records affect, and the symbols of these records."""

    venue: str
    day: date
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanContents:
    """Counts of the missing records, which were read and not written."""

    records: int = 0
    events: int = 0
    rejected: int = 0
    touched: tuple[AffectedSession, ...] = ()


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """A plan, and the contents of the records that it would ingest."""

    plan: OffsetPlan
    contents: PlanContents

    def sessions_to_finalize(self) -> list[tuple[str, date]]:
        """Return the sessions to make final, (venue, date), oldest first: those affected in a
        requested symbol.
        """
        symbols = self.plan.request.symbols
        sessions = [
            affected
            for affected in self.contents.touched
            if not symbols or not set(symbols).isdisjoint(affected.symbols)
        ]
        sessions.sort(key=lambda affected: (affected.day, affected))
        return [(affected.venue, affected.day) for affected in sessions]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values, with its digest."""
        contents = self.contents
        return {
            "digest": self.plan.digest,
            "plan": self.plan.to_dict(),
            "contents": {
                "records": contents.records,
                "events": contents.events,
                "rejected": contents.rejected,
                "touched": [
                    {
                        "venue": affected.venue,
                        "session": affected.day.isoformat(),
                        "symbols": [*affected.symbols],
                    }
                    for affected in contents.touched
                ],
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BackfillPlan":
        """Read the values of `to_dict`. Raise ConfigError if they are no plan, or changed."""
        _keys("a backfill plan", values, ("digest", "plan", "contents"))
        plan, contents = OffsetPlan.from_dict(values["plan"]), values["contents"]
        if plan.digest != values["digest"]:
            raise ConfigError(
                f"plan {values['digest']} was changed: its digest is {plan.digest}; plan again"
            )
        _keys("contents of a plan", contents, ("records", "events", "rejected", "touched"))
        touched = tuple(
            AffectedSession(
                str(row["venue"]),
                date.fromisoformat(row["session"]),
                tuple(map(str, row["symbols"])),
            )
            for row in contents["touched"]
        )
        records, events, rejected = (
            int(contents[name]) for name in ("records", "events", "rejected")
        )
        return cls(plan, PlanContents(records, events, rejected, touched))


def plan_backfill(
    request: BackfillRequest,
    topic: str,
    kafka: Mapping[int, Range],
    archive: ArchiveState,
    times: Mapping[int, tuple[int, int]] | None = None,
) -> OffsetPlan:
    """Sort the requested offsets into archived, missing, lost and awaited.

    `times`: for a request by time, the offsets of its two instants by partition. If the interval
    begins at or before Kafka's first record, it is taken from offset 0: Kafka does not know the
    times of records that it dropped, and lost records must be reported. Kafka must have the same
    records as `raw` at the same offsets. Raise ConfigError for a partition that does not exist, and
    for more than MAX_RANGES ranges to ingest.
    """
    asked = _asked(request, topic, kafka, archive.ranges, times or {})
    parts = tuple(
        _of_partition(partition, asked[partition], kafka.get(partition), archive)
        for partition in sorted(asked)
    )
    pieces = sum(len(part.to_ingest) for part in parts)
    if pieces > MAX_RANGES:
        raise ConfigError(
            f"{pieces:,} holes of {topic} at once, at most {MAX_RANGES:,}; fill them in portions"
            " with --offsets"
        )
    return OffsetPlan(request, topic, archive.raw_id, parts)


def _asked(
    request: BackfillRequest,
    topic: str,
    kafka: Mapping[int, Range],
    ranges: CountedRanges,
    times: Mapping[int, tuple[int, int]],
) -> OffsetsByPartition:
    match request.what:
        case ByOffsets(offsets):
            missing = sorted(offsets.keys() - kafka.keys() - ranges.keys())
            if missing:
                raise ConfigError(
                    f"{topic} has no partition {', '.join(map(str, missing))}; "
                    f"it has {', '.join(map(str, sorted(kafka)))}"
                )
            return offsets
        case ByTime():
            return {
                part: Ranges.between(0 if first <= kafka[part].start else first, last)
                for part, (first, last) in times.items()
            }
        case _:
            return {
                part: Ranges.between(0, _end(part, kafka, ranges))
                for part in kafka.keys() | ranges.keys()
            }


def _end(part: int, kafka: Mapping[int, Range], ranges: CountedRanges) -> int:
    """Return the offset after the last one that Kafka has assigned, by Kafka or by the lake."""
    known = kafka[part].end if part in kafka else 0
    return max([known, *(counted.end for counted in ranges.get(part, ()))])


def _of_partition(
    partition: int, asked: Ranges, kafka: Range | None, archive: ArchiveState
) -> PartitionPlan:
    ranges = archive.ranges.get(partition, ())
    begin, end = (0, 0) if kafka is None else (kafka.start, kafka.end)
    archived = offsets_of(ranges)
    assigned = Ranges.between(0, max([end, *(counted.end for counted in ranges)]))
    missing = (asked & assigned) - archived
    in_kafka = missing & Ranges.between(begin, end)
    awaited = in_kafka & archive.due.get(partition, Ranges())
    return PartitionPlan(
        partition,
        begin,
        end,
        asked=asked,
        archived=asked & archived,
        to_ingest=in_kafka - awaited,
        lost=missing - in_kafka,
        awaited=awaited,
        unwritten=asked - assigned - archived,
        generation=archive.generations.get(partition, 1),
    )


_SETS = ("asked", "archived", "to_ingest", "lost", "awaited", "unwritten")


def _part_to_dict(part: PartitionPlan) -> dict[str, Any]:
    sets = {name: to_pairs(getattr(part, name)) for name in _SETS}
    numbers = ("partition", "generation", "begin", "end")
    return {name: getattr(part, name) for name in numbers} | sets


def _part_of(values: Mapping[str, Any]) -> PartitionPlan:
    _with_fields(PartitionPlan, values)
    sets = {name: from_pairs(values[name]) for name in _SETS}
    return PartitionPlan(
        values["partition"],
        values["begin"],
        values["end"],
        **sets,
        generation=values["generation"],
    )


def _with_fields(kind: type, values: Mapping[str, Any]) -> None:
    """Raise ConfigError unless values have exactly the fields of a class."""
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    _keys(f"{article} {kind.__name__}", values, tuple(field.name for field in fields(kind)))


def _keys(what: str, values: Mapping[str, Any], names: Sequence[str]) -> None:
    if not isinstance(values, Mapping) or set(values) != set(names):
        given = sorted(values) if isinstance(values, Mapping) else values
        raise ConfigError(f"{given} is not {what}, which has {', '.join(names)}; plan again")
