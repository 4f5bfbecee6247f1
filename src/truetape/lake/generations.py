"""Generations: which log of a Kafka partition the offsets in `raw` belong to.

A topic that is made anew, and a partition whose log is lost, give the same offsets to other
records. Such a log is a new generation of its partition; `raw` keeps the older ones beside it.
Does not ask Kafka: `record_identity` does.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Self

from truetape.lake.delta import append_rows, read_rows
from truetape.lake.tables import Table

_MARK = "@"
"""No Kafka topic has it in its name."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One log of a partition. `number` is 1 for its first log, and grows over the whole topic.

    `topic_id` is the id that Kafka gave the topic when it was created.
    """

    topic: str
    partition: int
    number: int
    topic_id: str
    begun_ns: int
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Generations:
    """The present generation of each partition of a topic; of others it is the first."""

    topic: str
    numbers: Mapping[int, int]
    topic_ids: Mapping[int, str]

    @classmethod
    def of(cls, topic: str, recorded: Iterable[Generation]) -> Self:
        """Take the highest number of each partition; of records of one number the newest."""
        ordered = sorted(recorded, key=lambda part: (part.number, part.begun_ns))
        newest = {part.partition: part for part in ordered}
        return cls(
            topic,
            {partition: part.number for partition, part in newest.items()},
            {partition: part.topic_id for partition, part in newest.items()},
        )

    @property
    def last(self) -> int:
        """Return the number of the newest generation of any partition."""
        return max(self.numbers.values(), default=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all logs that `raw` may have, the oldest first."""
        return tuple(log_name(self.topic, number) for number in range(1, self.last + 1))

    def number(self, partition: int) -> int:
        """Return the number of a partition's present generation."""
        return self.numbers.get(partition, 1)

    def log(self, partition: int) -> str:
        """Return the name under which `raw` keeps the records of a partition's present log."""
        return log_name(self.topic, self.number(partition))

    def logs(self, partitions: Iterable[int]) -> dict[int, str]:
        """Return the same for several partitions."""
        return {partition: self.log(partition) for partition in partitions}


def log_name(topic: str, number: int) -> str:
    """Return the name of a generation: the topic's, with `@number` from the second one on."""
    return topic if number == 1 else f"{topic}{_MARK}{number}"


def read_generations(lake: str, topic: str) -> Generations:
    """Return the present generations of a topic."""
    rows = read_rows(lake, Table.GENERATIONS, [("topic", "=", topic)])
    return Generations.of(topic, (Generation(**row) for row in rows))


def begin_generations(
    lake: str, topic: str, topic_ids: Mapping[int, str], *, number: int, who: str, reason: str
) -> Generations:
    """Record generation `number` of these partitions, in one commit; return the present ones."""
    now = time.time_ns()
    rows = [
        asdict(Generation(topic, partition, number, topic_id, now, who, reason))
        for partition, topic_id in sorted(topic_ids.items())
    ]
    append_rows(lake, Table.GENERATIONS, rows)
    return read_generations(lake, topic)
