"""The plan of a backfill: of the offsets asked for, which are there, missing, lost. Does no I/O.

A plan is made before anything is written and says what will be; its digest names it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, TypeAlias

from truetape.batch.backfill_request import BackfillRequest, ByOffsets, ByTime, request_of
from truetape.host.errors import ConfigError
from truetape.lake.completeness import CountedRanges, offsets_of
from truetape.lake.offset_text import from_pairs, to_pairs
from truetape.market.ranges import Range, Ranges

MAX_RANGES = 2_000
"""Most ranges that one plan ingests. Each one is a term of the condition on every record."""


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """What the lake holds of a topic, and where the archive itself goes on.

    `due` is, by partition, the first offset that the archive still brings by itself; a partition
    without an entry is all its own. An archive whose next record Kafka has dropped cannot go on:
    it brings nothing any more, from no partition.
    """

    raw_id: str
    number: int
    """How many backfills `raw` has had: the next one takes the next number, and only one can."""
    ranges: CountedRanges
    due: Mapping[int, int]

    def is_stuck(self, kafka: Mapping[int, Range]) -> bool:
        """Say whether Kafka has dropped a record that the archive would go on from."""
        return any(
            self.due[part] < available.start
            for part, available in kafka.items()
            if part in self.due
        )


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """The offsets asked for of one partition; the five sets below `asked` have no offset twice and
    together are all of them.
    """

    partition: int
    begin: int
    """What Kafka has: from `begin` to the one before `end`."""
    end: int
    asked: Ranges
    archived: Ranges
    to_ingest: Ranges
    """Missing, and still in Kafka."""
    lost: Ranges
    """Missing, and no longer in Kafka."""
    awaited: Ranges
    """Not archived yet, and brought by the next archive run: a backfill leaves them to it."""
    unwritten: Ranges
    """Never given out by Kafka."""

    @property
    def in_kafka(self) -> Ranges:
        """Return what Kafka has of the offsets asked for."""
        return self.asked & Ranges.between(self.begin, self.end)


OffsetsByPartition: TypeAlias = Mapping[int, Ranges]


@dataclass(frozen=True, slots=True)
class OffsetPlan:
    """What a backfill of a topic would do to one `raw`, as its `number`-th."""

    request: BackfillRequest
    topic: str
    raw_id: str
    number: int
    archive_is_stuck: bool
    partitions: tuple[PartitionPlan, ...]

    @property
    def to_ingest(self) -> dict[int, Ranges]:
        """Return the offsets to ingest, by partition; partitions without any are left out."""
        return {part.partition: part.to_ingest for part in self.partitions if part.to_ingest}

    @property
    def lost(self) -> dict[int, Ranges]:
        """Return the offsets that Kafka no longer has, by partition."""
        return {part.partition: part.lost for part in self.partitions if part.lost}

    def total(self, name: str) -> int:
        """Return how many offsets a set such as "asked" or "lost" has, over all partitions."""
        return sum(getattr(part, name).size for part in self.partitions)

    @property
    def digest(self) -> str:
        """Return what identifies the plan: the same for equal plans, 16 hexadecimal digits."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan in terms of JSON."""
        return {
            "request": self.request.to_dict(),
            "topic": self.topic,
            "raw_id": self.raw_id,
            "number": self.number,
            "archive_is_stuck": self.archive_is_stuck,
            "partitions": [_part_to_dict(part) for part in self.partitions],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OffsetPlan":
        """Read what `to_dict` gave; ConfigError when it is no plan."""
        _with_fields(cls, values)
        return cls(
            request_of(values["request"]),
            str(values["topic"]),
            str(values["raw_id"]),
            int(values["number"]),
            bool(values["archive_is_stuck"]),
            tuple(_part_of(part) for part in values["partitions"]),
        )


@dataclass(frozen=True, slots=True, order=True)
class AffectedSession:
    """A session that missing records belong to, and the symbols of these records."""

    venue: str
    day: date
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanContents:
    """What the missing records hold, counted by reading them: nothing of it was written."""

    records: int = 0
    events: int = 0
    rejected: int = 0
    touched: tuple[AffectedSession, ...] = ()


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """A plan and what it would bring."""

    plan: OffsetPlan
    contents: PlanContents

    def sessions_to_finalize(self) -> list[tuple[str, date]]:
        """Return the sessions to settle, (venue, date), oldest first: those touched in a symbol
        asked for.
        """
        symbols = self.plan.request.symbols
        chosen = [
            one
            for one in self.contents.touched
            if not symbols or not set(symbols).isdisjoint(one.symbols)
        ]
        return [(one.venue, one.day) for one in sorted(chosen, key=lambda one: (one.day, one))]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan in terms of JSON, with its digest beside it."""
        contents = self.contents
        return {
            "digest": self.plan.digest,
            "plan": self.plan.to_dict(),
            "contents": {
                "records": contents.records,
                "events": contents.events,
                "rejected": contents.rejected,
                "touched": [
                    {"venue": one.venue, "session": one.day.isoformat(), "symbols": [*one.symbols]}
                    for one in contents.touched
                ],
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BackfillPlan":
        """Read what `to_dict` gave; ConfigError when it is no plan, or was changed since."""
        _keys("a backfill plan", values, ("digest", "plan", "contents"))
        plan, held = OffsetPlan.from_dict(values["plan"]), values["contents"]
        if plan.digest != values["digest"]:
            raise ConfigError(
                f"plan {values['digest']} was changed, it reads as {plan.digest}; plan again"
            )
        _keys("contents of a plan", held, ("records", "events", "rejected", "touched"))
        touched = tuple(
            AffectedSession(one["venue"], date.fromisoformat(one["session"]), tuple(one["symbols"]))
            for one in held["touched"]
        )
        return cls(plan, PlanContents(held["records"], held["events"], held["rejected"], touched))


def plan_backfill(
    request: BackfillRequest,
    topic: str,
    kafka: Mapping[int, Range],
    archive: ArchiveState,
    times: Mapping[int, tuple[int, int]] | None = None,
) -> OffsetPlan:
    """Sort the offsets that a request asks for.

    `times` is, for a request by time, where Kafka finds its two instants, by partition. Where the
    window begins at or before the first record that Kafka has, it is taken from offset 0: Kafka no
    longer knows when it got what it dropped, and nothing lost is to be left out. ConfigError for
    a partition that Kafka does not have, for a topic that was made anew behind the archive's back,
    and for more than MAX_RANGES to ingest.
    """
    _check_same_topic(topic, kafka, archive.due)
    asked = _asked(request, topic, kafka, archive.ranges, times or {})
    is_stuck = archive.is_stuck(kafka)
    parts = tuple(
        _of_partition(partition, asked[partition], kafka.get(partition), archive, is_stuck)
        for partition in sorted(asked)
    )
    pieces = sum(len(part.to_ingest) for part in parts)
    if pieces > MAX_RANGES:
        raise ConfigError(
            f"{pieces:,} holes of {topic} at once, at most {MAX_RANGES:,}; fill them in portions"
            " with --offsets"
        )
    return OffsetPlan(request, topic, archive.raw_id, archive.number + 1, is_stuck, parts)


def _check_same_topic(topic: str, kafka: Mapping[int, Range], due: Mapping[int, int]) -> None:
    for part, offset in due.items():
        end = kafka[part].end if part in kafka else 0
        if offset > end:
            raise ConfigError(
                f"the archive has read {topic}/{part} up to offset {offset} and Kafka ends at {end}"
                ": the topic was made anew, so its offsets are others; use a new TRUETAPE_LAKE"
            )


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
    """Return the offset behind the last one given out, by Kafka's word or by the lake's."""
    known = kafka[part].end if part in kafka else 0
    return max([known, *(counted.end for counted in ranges.get(part, ()))])


def _of_partition(
    partition: int, asked: Ranges, kafka: Range | None, archive: ArchiveState, is_stuck: bool
) -> PartitionPlan:
    ranges = archive.ranges.get(partition, ())
    begin, end = (0, 0) if kafka is None else (kafka.start, kafka.end)
    held = offsets_of(ranges)
    given_out = Ranges.between(0, max([end, *(counted.end for counted in ranges)]))
    missing = (asked & given_out) - held
    in_kafka = missing & Ranges.between(begin, end)
    due = archive.due.get(partition, 0)
    awaited = Ranges() if is_stuck else in_kafka & Ranges.between(due, end)
    return PartitionPlan(
        partition,
        begin,
        end,
        asked=asked,
        archived=asked & held,
        to_ingest=in_kafka - awaited,
        lost=missing - in_kafka,
        awaited=awaited,
        unwritten=asked - given_out - held,
    )


_SETS = ("asked", "archived", "to_ingest", "lost", "awaited", "unwritten")


def _part_to_dict(part: PartitionPlan) -> dict[str, Any]:
    sets = {name: to_pairs(getattr(part, name)) for name in _SETS}
    return {"partition": part.partition, "begin": part.begin, "end": part.end} | sets


def _part_of(values: Mapping[str, Any]) -> PartitionPlan:
    _with_fields(PartitionPlan, values)
    sets = {name: from_pairs(values[name]) for name in _SETS}
    return PartitionPlan(values["partition"], values["begin"], values["end"], **sets)


def _with_fields(kind: type, values: Mapping[str, Any]) -> None:
    """Check that values have the fields of a class and no other."""
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    _keys(f"{article} {kind.__name__}", values, tuple(one.name for one in fields(kind)))


def _keys(what: str, values: Mapping[str, Any], names: Sequence[str]) -> None:
    if not isinstance(values, Mapping) or set(values) != set(names):
        there = sorted(values) if isinstance(values, Mapping) else values
        raise ConfigError(f"{there} is not {what}, which has {', '.join(names)}; plan again")
